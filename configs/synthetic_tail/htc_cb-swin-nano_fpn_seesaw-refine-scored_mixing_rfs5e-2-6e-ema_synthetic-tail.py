# All parts of the 2021 champion at once (../fuxi_fresher).
_base_ = [
    '../_base_/models/htc_cb-swin-nano_fpn.py',
    '../_base_/datasets/synthetic-tail_instance.py',
    '../_base_/schedules/nano.py',
    '../_base_/schedules/ema-early-stopping.py',
    '../_base_/default_runtime.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='BalancedCopyPaste', prob=0.5, repeat_threshold=5e-2))
train_pipeline.insert(
    2, dict(type='BalancedMosaic', prob=0.5, img_scale=(192, 160), repeat_threshold=5e-2)
)
# An epoch has a few hundred iterations.
custom_hooks = _base_.custom_hooks
custom_hooks[0].update(momentum=1e-2, gamma=100)
custom_hooks[1].update(monitor='lvis/segm_AP_old@100')

model = dict(
    roi_head=dict(
        bbox_head=dict(
            num_classes=_base_.num_classes,
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss'),
        ),
        mask_head=dict(num_classes=_base_.num_classes),
    )
)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(_delete_=True, type='RepeatFactorSampler', repeat_threshold=5e-2),
    dataset=dict(pipeline=train_pipeline),
)
train_cfg = dict(val_interval=1)
default_hooks = dict(checkpoint=dict(save_best='lvis/segm_AP_old@100', rule='greater'))
val_evaluator = dict(max_dets=[20, 100])
test_evaluator = val_evaluator
