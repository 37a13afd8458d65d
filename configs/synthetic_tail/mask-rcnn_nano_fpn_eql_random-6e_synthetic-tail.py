_base_ = './mask-rcnn_nano_fpn_random-6e_synthetic-tail.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            # Rare and common categories: up to 60 of 800 images.
            loss_cls=dict(_delete_=True, type='EqualizationLoss', frequency_threshold=7.6e-2)
        )
    )
)
