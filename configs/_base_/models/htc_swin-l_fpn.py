# HTC on Swin-L (Liu et al. 2021) with the weights of ImageNet-22k. Activations of the blocks are
# computed again for the backward pass; without that an image of 1600 x 1400 pixels needs too much.
_base_ = './htc_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='FusedSwinTransformer',
        embed_dims=192,
        depths=[2, 2, 18, 2],
        num_heads=[6, 12, 24, 48],
        window_size=7,
        drop_path_rate=0.2,
        with_cp=True,
        convert_weights=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.0/'
            'swin_large_patch4_window7_224_22k.pth',
        ),
    ),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
