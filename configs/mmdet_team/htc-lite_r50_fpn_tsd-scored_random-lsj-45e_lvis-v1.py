# Row 7: InstaBoost, longer edges of 768 to 1792 pixels (0.6 to 1.4 times 1280), crops of
# 1280 x 1280, 45 epochs.
_base_ = './htc-lite_r50_fpn_tsd-scored_random-ms-2x_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='LargeScaleJitter', scale=(1280, 1280), ratio_range=(0.6, 1.4))
train_pipeline.insert(
    3, dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False)
)
train_pipeline.insert(1, dict(type='InstaBoostPolygons'))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=45)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=45, milestones=[30, 40])
