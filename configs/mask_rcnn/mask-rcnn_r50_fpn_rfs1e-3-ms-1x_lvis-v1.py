# The baseline with repeat-factor sampling: images of rare categories come more often.
_base_ = './mask-rcnn_r50_fpn_random-ms-1x_lvis-v1.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
