# 180,000 iterations of SGD with 16 images each, the schedule of Dave et al. 2021 (section 5): 2.88
# million images, 29 passes over the 99,388 annotated training images of LVIS v1. Goes with
# `iter_runtime.py`.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=180000, val_interval=30000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = [
    # From a rate of 1e-3 to 0.02.
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, milestones=[120000, 160000], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
