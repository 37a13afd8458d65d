_base_ = './cascade-mask-rcnn_regnety-4gf_fpn_rfs1e-3-ms400-1000-270k_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(loss_cls=dict(_delete_=True, type='FederatedLoss', num_sampled=50))
    )
)
