# Row 4: HTC-Lite. Three box heads, one mask head at the end, and the context of the image.
_base_ = './mask-rcnn_r50_fpn_syncbn-carafe_random-ms-2x_lvis-v1.py'

thresholds = [0.5, 0.6, 0.7]
model = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='UniformHTCLiteRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        context_head=dict(type='FederatedContextHead', in_channels=256, conv_out_channels=256),
        bbox_head=dict(
            bbox_coder=dict(
                _delete_=True,
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                stage_target_stds=[
                    [0.1, 0.1, 0.2, 0.2],
                    [0.05, 0.05, 0.1, 0.1],
                    [0.033, 0.033, 0.067, 0.067],
                ],
            ),
            reg_class_agnostic=True,
            loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
        ),
    ),
)
assigner = dict(
    _delete_=True,
    type='MaxIoUAssigner',
    stage_pos_iou_thr=thresholds,
    stage_neg_iou_thr=thresholds,
    stage_min_pos_iou=thresholds,
    match_low_quality=False,
    ignore_iof_thr=-1,
)
model.update(train_cfg=dict(rcnn=dict(assigner=assigner)))
del thresholds, assigner
