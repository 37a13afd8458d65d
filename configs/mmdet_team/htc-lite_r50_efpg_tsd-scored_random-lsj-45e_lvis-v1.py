# Row 8: an enhanced feature pyramid grid instead of FPN. With SyncBN; the report names no norm and
# no number of paths, so there are nine, as in the paper of the grid.
_base_ = './htc-lite_r50_fpn_tsd-scored_random-lsj-45e_lvis-v1.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='EnhancedFPG',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=5,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
    )
)
