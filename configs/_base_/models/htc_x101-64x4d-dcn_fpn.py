# HTC on ResNeXt-101 64x4d with deformable convolutions in stages 3 to 5, the strong model of
# Wang et al. 2020.
_base_ = './htc_r50_fpn.py'

model = dict(
    backbone=dict(
        type='ResNeXt',
        depth=101,
        groups=64,
        base_width=4,
        dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_64x4d'),
    )
)
