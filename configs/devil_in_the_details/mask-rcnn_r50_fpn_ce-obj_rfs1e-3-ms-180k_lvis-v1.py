# Softmax cross entropy and, in parallel, a classifier of objects against background.
_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            loss_cls=dict(_delete_=True, type='ObjectnessLoss', loss_cls=dict(type='SoftmaxLoss'))
        )
    )
)
