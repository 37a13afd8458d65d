# 270,000 iterations with 16 images each for strong backbones (Dave et al. 2021, appendix B): 4.32
# million images, 43 passes over the training images of LVIS v1. The weight decay is that of the
# backbone's pre-training.
_base_ = './180k.py'

train_cfg = dict(max_iters=270000)
optim_wrapper = dict(optimizer=dict(weight_decay=5e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, milestones=[210000, 250000], gamma=0.1),
]
