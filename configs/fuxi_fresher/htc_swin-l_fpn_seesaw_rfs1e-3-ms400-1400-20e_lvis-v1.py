# The weak baseline (table 1): HTC without the semantic branch on Swin-L, RFS, Seesaw loss.
_base_ = [
    '../_base_/models/htc_swin-l_fpn.py',
    '../_base_/datasets/lvis-v1_instance.py',
    '../_base_/schedules/adamw-20e.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=_base_.num_classes,
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='RandomResize', scale=[(1600, 400), (1600, 1400)], keep_ratio=True)
train_pipeline[-1:] = [
    dict(type='RoundedPhotoMetricDistortion'),
    dict(type='FilterAnnotations', by_mask=True, keep_empty=False),
    train_pipeline[-1],
]
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=scale, keep_ratio=True)
    for scale in ((1600, 1000), (1600, 1400), (1800, 1200), (1800, 1600))
]
# All views rate the same boxes, as in mmdet 2.
tta_model = dict(tta_cfg=dict(boxes='average'))

train_dataloader = dict(
    num_workers=4,
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3),
    dataset=dict(pipeline=train_pipeline),
)
