# The strong baseline (tables 1 and 3): two composite Swin-L, half the learning rate.
_base_ = './htc_swin-l_fpn_seesaw_mixing_rfs1e-3-ms640-1400-20e_lvis-v1.py'

model = dict(
    type='CompositeDetector',
    backbone=dict(type='CBSwinTransformer', num_backbones=2),
)
optim_wrapper = dict(optimizer=dict(lr=5e-5))
