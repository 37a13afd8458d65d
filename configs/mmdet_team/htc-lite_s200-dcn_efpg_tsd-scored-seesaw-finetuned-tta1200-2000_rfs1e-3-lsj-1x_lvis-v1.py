# For testing only, with the weights of the config it inherits.
# Row 12: five sizes of the longer edge, each also mirrored; test with --tta.
_base_ = './htc-lite_s200-dcn_efpg_tsd-scored-seesaw-finetuned_rfs1e-3-lsj-1x_lvis-v1.py'

tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(edge, edge), keep_ratio=True)
    for edge in (1200, 1400, 1600, 1800, 2000)
]
# All views rate the same boxes, as in mmdet 2.
tta_model = dict(tta_cfg=dict(boxes='average'))
