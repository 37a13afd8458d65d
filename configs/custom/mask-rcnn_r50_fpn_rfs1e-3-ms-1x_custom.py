# Mask R-CNN on your own data, which configs/_base_/datasets/custom_instance.py describes.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/custom_instance.py',
    '../_base_/schedules/1x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(
    # Repeats images of categories that occur in fewer than this fraction of the images.
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
