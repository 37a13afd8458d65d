_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_rfs1e-3-ms-2x_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
        )
    )
)
