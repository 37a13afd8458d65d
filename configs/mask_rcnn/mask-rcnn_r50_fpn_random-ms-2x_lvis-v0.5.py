# The baseline of SimCal (Wang et al. 2020) on LVIS v0.5, which counts every score above zero and
# reports AP by training instances as well.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
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
