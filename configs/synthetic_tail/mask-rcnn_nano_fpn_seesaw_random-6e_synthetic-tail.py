_base_ = './mask-rcnn_nano_fpn_random-6e_synthetic-tail.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
        )
    )
)
