# Row 11: a second classifier in every stage of the frozen model, 12 epochs with repeat-factor
# sampling; the scores of both are averaged.
_base_ = './htc-lite_s200-dcn_efpg_tsd-scored-seesaw_random-lsj-45e_lvis-v1.py'

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierTSDShared2FCBBoxHead',
            second_classifier=dict(hidden_fcs=0, init='random', merge='average'),
        )
    ),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
train_cfg = dict(max_epochs=12)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=12, milestones=[8, 11])
load_from = 'work_dirs/htc-lite_s200-dcn_efpg_tsd-scored-seesaw_random-lsj-45e_lvis-v1/epoch_45.pth'
