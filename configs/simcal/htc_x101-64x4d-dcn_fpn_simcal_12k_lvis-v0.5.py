# One second classifier for each of the three stages.
_base_ = [
    '../_base_/models/htc_x101-64x4d-dcn_fpn.py',
    '../_base_/datasets/lvis-v0.5_instance.py',
    '../_base_/schedules/simcal.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='RandomResize', scale=[(1600, 400), (1600, 1400)], keep_ratio=True)

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            num_classes=_base_.num_classes,
            second_classifier=dict(
                hidden_fcs=2, init='copy', match='own', merge='select', threshold=300
            ),
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler'))),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
train_dataloader = dict(
    batch_size=1,
    sampler=dict(_delete_=True, type='ClassDrawSampler', samples_per_epoch=16000),
    batch_sampler=dict(type='ResumableBatchSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_evaluator = dict(bins='lvis', counts=_base_.data_root + 'annotations/lvis_v0.5_train.json')
test_evaluator = val_evaluator
load_from = 'work_dirs/htc_x101-64x4d-dcn_fpn_random-ms400-1400-20e_lvis-v0.5/epoch_20.pth'
