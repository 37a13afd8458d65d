# A second classifier, trained on balanced images and proposals, scores the tail.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn_agnostic.py',
    '../_base_/datasets/lvis-v0.5_instance.py',
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
                hidden_fcs=2, init='copy', match='own', merge='select', threshold=300
            ),
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    train_cfg=dict(
        rpn_proposal=dict(max_per_img=2000),
        rcnn=dict(sampler=dict(type='ClassDrawRoISampler')),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassDrawSampler', samples_per_epoch=16000),
    batch_sampler=dict(type='ResumableBatchSampler'),
)
val_evaluator = dict(bins='lvis', counts=_base_.data_root + 'annotations/lvis_v0.5_train.json')
test_evaluator = val_evaluator
load_from = 'work_dirs/mask-rcnn_r50_fpn_agnostic_random-ms-2x_lvis-v0.5/epoch_24.pth'
