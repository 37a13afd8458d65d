# Row 9: ResNeSt-200 with deformable convolutions (DCNv2) in its last three stages.
_base_ = './htc-lite_r50_efpg_tsd-scored_random-lsj-45e_lvis-v1.py'

model = dict(
    data_preprocessor=dict(mean=[123.68, 116.779, 103.939], std=[58.393, 57.12, 57.375]),
    backbone=dict(
        type='ResNeSt',
        depth=200,
        stem_channels=128,
        radix=2,
        reduction_factor=4,
        avg_down_stride=True,
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(checkpoint='open-mmlab://resnest200'),
    ),
)
