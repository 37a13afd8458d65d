# 90,000 iterations with 16 images each for the second phase of decoupled training (Dave et al.
# 2021, appendix B): 1.44 million images, 14 passes over the training images of LVIS v1. Most of the
# network is trained already, so there is no warm-up.
_base_ = './180k.py'

train_cfg = dict(max_iters=90000)
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[60000, 80000], gamma=0.1),
]
