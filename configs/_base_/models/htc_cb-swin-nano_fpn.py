# The parts of the 2021 champion small enough to train from scratch on a CPU in minutes: two Swin
# transformers with 16 channels, 32 channels in neck and heads. For trying things out and for tests,
# not for results.
_base_ = './htc_r50_fpn.py'

model = dict(
    type='CompositeDetector',
    backbone=dict(
        _delete_=True,
        type='CBSwinTransformer',
        num_backbones=2,
        embed_dims=16,
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 4, 8],
        window_size=7,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=128),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(num_convs=1, in_channels=32, conv_out_channels=32),
        last_mask_head=dict(
            type='RefineMaskHead',
            num_convs=1,
            num_semantic_convs=1,
            in_channels=32,
            conv_out_channels=32,
            semantic_in_channels=32,
        ),
        mask_iou_head=dict(
            type='LabelMaskIoUHead', in_channels=32, conv_out_channels=32, fc_out_channels=128
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(score_thr=1e-3, max_per_img=100),
    ),
)
