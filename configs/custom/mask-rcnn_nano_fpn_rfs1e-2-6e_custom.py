# A first run on your own data without a GPU: a nano model at a quarter of the usual resolution. It
# shows that data and config fit together, not what can be reached.
_base_ = [
    '../_base_/models/mask-rcnn_nano_fpn.py',
    '../_base_/datasets/custom_instance.py',
    '../_base_/schedules/nano.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='Resize', scale=(333, 200), keep_ratio=True)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (333, 200)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=scale, keep_ratio=True)
    for scale in ((333, 200), (267, 160), (400, 240))
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-2),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
