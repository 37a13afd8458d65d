# Row 2: batch norm over all GPUs, in the backbone and in heads. A box head of two linear layers has
# nothing to normalise, so here it has four convolutions and one linear layer.
_base_ = './mask-rcnn_r50_fpn_random-ms-2x_lvis-v1.py'

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(norm_cfg=norm_cfg, norm_eval=False),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
)
del norm_cfg
