# Phase 2: the classifier alone is trained anew, on the frozen detector of phase 1.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/lvis-v1_instance.py',
    '../_base_/schedules/90k.py',
    '../_base_/iter_runtime.py',
]

model = dict(
    type='RetrainedDetector',
    trained=['roi_head.bbox_head.fc_cls'],
    reinitialize=True,
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    test_cfg=dict(rcnn=dict(max_per_img=2000)),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
val_evaluator = dict(dets_per_class=10000, pool=True)
test_evaluator = val_evaluator
load_from = 'work_dirs/mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1/iter_180000.pth'
