_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn_agnostic.py',
    '../_base_/datasets/coco-lt_instance.py',
    '../_base_/schedules/1x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
