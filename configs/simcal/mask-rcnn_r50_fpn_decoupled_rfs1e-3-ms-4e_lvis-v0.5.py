# The second classifier is trained on images by repeat factor and on all their proposals.
_base_ = './mask-rcnn_r50_fpn_simcal_12k_lvis-v0.5.py'

model = dict(
    roi_head=dict(bbox_head=dict(second_classifier=dict(match=None))),
    train_cfg=dict(rcnn=dict(sampler=dict(type='RandomSampler'))),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3),
    batch_sampler=dict(type='ResumableAspectRatioBatchSampler'),
)
# About as many iterations as the calibration has.
train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1)
]
