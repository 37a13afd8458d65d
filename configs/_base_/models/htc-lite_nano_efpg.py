# The parts of the MMDet team's 2020 system small enough to train from scratch on a CPU in minutes:
# ResNet-18 with a quarter of the channels, 16 channels in the neck, 32 in the heads. For trying
# things out and for tests, not for results.
_base_ = './htc-lite_r50_fpn.py'

# No running statistics: batches are small, and processes would each have their own.
norm_cfg = dict(type='GN', num_groups=4, requires_grad=True)
model = dict(
    backbone=dict(
        depth=18,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(
        _delete_=True,
        type='EnhancedFPG',
        in_channels=[16, 32, 64, 128],
        out_channels=32,
        inter_channels=16,
        stack_times=2,
        norm_cfg=norm_cfg,
        same_up_trans=dict(compressed_channels=16),
    ),
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        context_head=dict(num_convs=2, in_channels=32, conv_out_channels=32),
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(
            type='TSDShared2FCBBoxHead', in_channels=32, fc_out_channels=128, offset_channels=64
        ),
        mask_roi_extractor=dict(out_channels=32),
        mask_head=dict(
            num_convs=2,
            in_channels=32,
            conv_out_channels=32,
            norm_cfg=norm_cfg,
            upsample_cfg=dict(
                type='carafe',
                scale_factor=2,
                up_kernel=5,
                up_group=1,
                encoder_kernel=3,
                encoder_dilation=1,
                compressed_channels=16,
            ),
        ),
        mask_iou_head=dict(
            type='LabelMaskIoUHead', in_channels=32, conv_out_channels=32, fc_out_channels=128
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=400, max_per_img=200),
        rcnn=dict(score_thr=1e-3, max_per_img=100),
    ),
)
del norm_cfg
