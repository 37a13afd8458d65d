_base_ = './mask-rcnn_r50_fpn_random-ms-2x_lvis-v0.5.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
