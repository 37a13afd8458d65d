# Row 11 in nano: second classifiers on the frozen model, 3 epochs with repeat-factor sampling.
_base_ = './htc-lite_nano_efpg_tsd-scored-seesaw_random-6e_synthetic-tail.py'

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
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=5e-2)
)
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
load_from = 'work_dirs/htc-lite_nano_efpg_tsd-scored-seesaw_random-6e_synthetic-tail/epoch_6.pth'
