# SimCal with the tail that the released code uses here: fewer than 400 instances.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn_agnostic.py',
    '../_base_/datasets/coco-lt_instance.py',
    '../_base_/schedules/simcal.py',
    '../_base_/default_runtime.py',
]

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            num_classes=_base_.num_classes,
            second_classifier=dict(
                hidden_fcs=2, init='copy', match='own', merge='select', threshold=399
            ),
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=2000),
        rcnn=dict(sampler=dict(type='ClassDrawRoISampler')),
    ),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassDrawSampler', samples_per_epoch=16000),
    batch_sampler=dict(type='ResumableBatchSampler'),
)
load_from = 'work_dirs/mask-rcnn_r50_fpn_agnostic_random-ms-1x_coco-lt/epoch_12.pth'
