# Row 1: Mask R-CNN on ResNet-50-FPN, every image once per epoch, 24 epochs. 8 GPUs x 2 images.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/lvis-v1_instance.py',
    '../_base_/schedules/2x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
