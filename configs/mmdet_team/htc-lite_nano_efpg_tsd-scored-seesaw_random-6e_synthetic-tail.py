# Row 10 in nano: all parts of the 2020 system but ResNeSt, on built-in data.
_base_ = [
    '../_base_/models/htc-lite_nano_efpg.py',
    '../_base_/datasets/synthetic-tail_instance.py',
    '../_base_/schedules/nano.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='LargeScaleJitter', scale=_base_.image_scale, ratio_range=(0.6, 1.4))
train_pipeline.insert(
    3, dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False)
)
train_pipeline.insert(1, dict(type='InstaBoostPolygons'))

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=_base_.num_classes,
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss', q=0.0),
            pc_cls=False,
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
train_cfg = dict(val_interval=6)
val_evaluator = dict(max_dets=[20, 100])
test_evaluator = val_evaluator
