# Row 3: masks are enlarged by CARAFE instead of a transposed convolution.
_base_ = './mask-rcnn_r50_fpn_syncbn_random-ms-2x_lvis-v1.py'

upsample_cfg = dict(
    type='carafe',
    scale_factor=2,
    up_kernel=5,
    up_group=1,
    encoder_kernel=3,
    encoder_dilation=1,
    compressed_channels=64,
)
model = dict(roi_head=dict(mask_head=dict(upsample_cfg=upsample_cfg)))
del upsample_cfg
