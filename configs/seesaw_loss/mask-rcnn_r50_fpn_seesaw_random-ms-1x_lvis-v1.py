# The loss of the 2021 paper: mitigation and compensation (p = 0.8, q = 2).
_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-1x_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
        )
    )
)
