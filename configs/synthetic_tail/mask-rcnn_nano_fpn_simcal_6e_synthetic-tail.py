# SimCal on the cross-entropy baseline: a copy of its classifier is calibrated and speaks for the
# tail. The nano schedule stands in for 12,000 steps of SGD.
_base_ = './mask-rcnn_nano_fpn_random-6e_synthetic-tail.py'

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            second_classifier=dict(
                hidden_fcs=2, init='copy', match='own', merge='select', threshold=100
            ),
        )
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler'))),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='ClassDrawSampler', samples_per_epoch=400),
    batch_sampler=dict(type='ResumableBatchSampler'),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
load_from = 'work_dirs/mask-rcnn_nano_fpn_random-6e_synthetic-tail/epoch_6.pth'
