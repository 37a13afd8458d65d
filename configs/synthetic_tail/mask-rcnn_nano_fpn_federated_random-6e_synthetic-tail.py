_base_ = './mask-rcnn_nano_fpn_random-6e_synthetic-tail.py'

model = dict(
    roi_head=dict(
        # A quarter of the 64 categories; 50 are drawn of the 1,203 of LVIS.
        bbox_head=dict(loss_cls=dict(_delete_=True, type='FederatedLoss', num_sampled=16))
    )
)
