_base_ = './htc_x101-64x4d-dcn_fpn_random-ms400-1400-20e_lvis-v0.5.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
