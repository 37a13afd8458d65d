# Boxes and masks that do not depend on the class, which helps classes with few examples.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn_agnostic.py',
    '../_base_/datasets/lvis-v0.5_instance.py',
    '../_base_/schedules/2x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.0)),
)
val_evaluator = dict(bins='lvis', counts=_base_.data_root + 'annotations/lvis_v0.5_train.json')
test_evaluator = val_evaluator
