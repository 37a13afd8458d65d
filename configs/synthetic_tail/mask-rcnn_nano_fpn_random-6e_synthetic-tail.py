# The baseline of the comparison in miniature: cross entropy, every image once per epoch.
_base_ = [
    '../_base_/models/mask-rcnn_nano_fpn.py',
    '../_base_/datasets/synthetic-tail_instance.py',
    '../_base_/schedules/nano.py',
    '../_base_/default_runtime.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
    # As on LVIS, what has a low score is kept: it may be rare.
    test_cfg=dict(rcnn=dict(score_thr=1e-3)),
)
train_dataloader = dict(batch_size=4)
train_cfg = dict(val_interval=6)
# An image has 6 objects on average. A limit of 20 detections shared by 64 categories makes low
# scores compete for places, as one of 300 does among the 1,203 of LVIS; one of 100 hardly does.
val_evaluator = dict(max_dets=[20, 100])
test_evaluator = val_evaluator
