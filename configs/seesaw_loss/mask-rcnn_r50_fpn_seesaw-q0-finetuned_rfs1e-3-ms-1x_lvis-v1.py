# A second classifier on the frozen detector, trained with repeat-factor sampling; the scores of
# both are averaged.
_base_ = './mask-rcnn_r50_fpn_seesaw-q0_random-ms-1x_lvis-v1.py'

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.second_classifier'],
    roi_head=dict(
        bbox_head=dict(
            type='TwoClassifierShared2FCBBoxHead',
            second_classifier=dict(hidden_fcs=0, init='random', merge='average'),
        )
    ),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
load_from = 'work_dirs/mask-rcnn_r50_fpn_seesaw-q0_random-ms-1x_lvis-v1/epoch_12.pth'
