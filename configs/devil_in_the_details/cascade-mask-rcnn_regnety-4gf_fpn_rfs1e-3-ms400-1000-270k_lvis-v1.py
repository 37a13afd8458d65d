# The stronger detector: longer training, less weight decay, more change of scale.
_base_ = [
    '../_base_/models/cascade-mask-rcnn_regnety-4gf_fpn.py',
    '../_base_/datasets/lvis-v1_instance.py',
    '../_base_/schedules/270k.py',
    '../_base_/iter_runtime.py',
]

# The longer side is between 400 and 1000 pixels.
train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(
    type='RandomResize', scale=(1000, 1000), ratio_range=(0.4, 1.0), keep_ratio=True
)

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    test_cfg=dict(rcnn=dict(max_per_img=2000)),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3),
    dataset=dict(pipeline=train_pipeline),
)
val_evaluator = dict(dets_per_class=10000, pool=True)
test_evaluator = val_evaluator
