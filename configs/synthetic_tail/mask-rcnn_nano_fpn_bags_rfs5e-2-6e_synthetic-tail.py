_base_ = './mask-rcnn_nano_fpn_bags_random-6e_synthetic-tail.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=5e-2)
)
