# Simple copy-paste (Ghiasi et al. 2021): large-scale jitter to 1024 x 1024 of both images, any
# object of a uniformly drawn image.
_base_ = '../seesaw_loss/mask-rcnn_r50_fpn_seesaw_rfs1e-3-ms-2x_lvis-v1.py'

jitter = [
    dict(type='LargeScaleJitter', scale=(1024, 1024), ratio_range=(0.1, 2.0)),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    *_base_.train_pipeline[:2],
    *jitter,
    dict(
        type='BalancedCopyPaste',
        prob=1.0,
        source='uniform',
        head_keep=1.0,
        source_transforms=jitter,
    ),
    _base_.train_pipeline[-1],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
del jitter
