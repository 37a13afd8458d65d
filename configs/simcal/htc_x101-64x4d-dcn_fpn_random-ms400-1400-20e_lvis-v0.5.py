# Hybrid Task Cascade without the semantic branch, for which LVIS has no annotations. 16 GPUs x 1.
_base_ = [
    '../_base_/models/htc_x101-64x4d-dcn_fpn.py',
    '../_base_/datasets/lvis-v0.5_instance.py',
    'mmdet::_base_/schedules/schedule_20e.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='RandomResize', scale=[(1600, 400), (1600, 1400)], keep_ratio=True)

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(bins='lvis', counts=_base_.data_root + 'annotations/lvis_v0.5_train.json')
test_evaluator = val_evaluator
