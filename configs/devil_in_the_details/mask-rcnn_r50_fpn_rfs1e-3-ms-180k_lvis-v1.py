# Softmax cross entropy, linear classifier, repeat-factor sampling: what the tables vary.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/lvis-v1_instance.py',
    '../_base_/schedules/180k.py',
    '../_base_/iter_runtime.py',
]

model = dict(
    backbone=dict(norm_cfg=dict(requires_grad=False)),
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    # AP_old counts the best 300 of them, AP_fixed and AP_pool all.
    test_cfg=dict(rcnn=dict(max_per_img=2000)),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=1e-3)
)
val_evaluator = dict(dets_per_class=10000, pool=True)
test_evaluator = val_evaluator
