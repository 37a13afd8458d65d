_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(loss_cls=dict(_delete_=True, type='FederatedLoss', num_sampled=50))
    )
)
