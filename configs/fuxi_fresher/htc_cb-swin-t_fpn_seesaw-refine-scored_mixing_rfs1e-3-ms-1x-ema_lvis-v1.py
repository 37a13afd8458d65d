# The champion for one GPU with 24 GB: two composite Swin-T with the weights of ImageNet-1k, smaller
# images, mixed precision, 12 epochs.
_base_ = './htc_cb-swin-l_fpn_seesaw-refine-scored_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1.py'

max_epochs = 12
train_pipeline = _base_.train_pipeline
train_pipeline[3] = dict(
    type='RandomChoiceResize',
    scales=[(1333, short) for short in (640, 672, 704, 736, 768, 800)],
    keep_ratio=True,
)

model = dict(
    backbone=dict(
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_tiny_patch4_window7_224.pth'
        ),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(type='AmpOptimWrapper', optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
