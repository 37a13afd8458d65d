# The loss of the 2020 report: without the compensation factor (q = 0), which came with the paper.
_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-1x_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss', q=0.0),
        )
    )
)
