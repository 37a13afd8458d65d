# What tools/quickstart.sh trains: a nano Mask R-CNN from scratch on the built-in data set, in about
# three minutes on a CPU.
_base_ = [
    '../_base_/models/mask-rcnn_nano_fpn.py',
    '../_base_/datasets/synthetic_instance.py',
    '../_base_/schedules/nano.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=5e-2),
)
default_hooks = dict(logger=dict(interval=20))
