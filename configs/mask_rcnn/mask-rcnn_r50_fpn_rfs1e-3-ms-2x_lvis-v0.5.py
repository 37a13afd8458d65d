_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/lvis-v0.5_instance.py',
    '../_base_/schedules/2x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
