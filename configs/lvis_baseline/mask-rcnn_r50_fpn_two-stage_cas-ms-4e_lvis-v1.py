# Stage 2 of the challenge baseline: class-aware sampling trains the last layers on, from the
# weights of stage 1. Length and rate are ours; the slides name none.
_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-1x_lvis-v1.py'

model = dict(
    type='RetrainedDetector',
    trained=[
        'roi_head.bbox_head.fc_cls',
        'roi_head.bbox_head.fc_reg',
        'roi_head.mask_head.conv_logits',
    ],
)
train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareImageSampler'))
train_cfg = dict(max_epochs=4)
optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = [
    dict(type='MultiStepLR', begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1)
]
load_from = 'work_dirs/mask-rcnn_r50_fpn_random-ms-1x_lvis-v1/epoch_12.pth'
