# Cascade Mask R-CNN (Cai & Vasconcelos 2018) with one dict for the box heads of all stages; a key
# `stage_x` lists the values of x for stages 1, 2, 3.
_base_ = 'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        type='UniformCascadeRoIHead',
        bbox_head=dict(
            _delete_=True,
            type='Shared2FCBBoxHead',
            in_channels=256,
            fc_out_channels=1024,
            roi_feat_size=7,
            num_classes=80,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                stage_target_stds=[
                    [0.1, 0.1, 0.2, 0.2],
                    [0.05, 0.05, 0.1, 0.1],
                    [0.033, 0.033, 0.067, 0.067],
                ],
            ),
            reg_class_agnostic=True,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='StreamedMaxIoUAssigner')),
        rcnn=dict(
            _delete_=True,
            assigner=dict(
                type='MaxIoUAssigner',
                stage_pos_iou_thr=[0.5, 0.6, 0.7],
                stage_neg_iou_thr=[0.5, 0.6, 0.7],
                stage_min_pos_iou=[0.5, 0.6, 0.7],
                match_low_quality=False,
                ignore_iof_thr=-1,
            ),
            sampler=dict(
                type='RandomSampler',
                num=512,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            mask_size=28,
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(rcnn=dict(score_thr=1e-4, max_per_img=300)),
)
