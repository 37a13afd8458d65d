# The strong baseline with RefineMask, in FP32, the average of its weights stopped early (table 3).
_base_ = [
    './htc_cb-swin-l_fpn_seesaw_mixing_rfs1e-3-ms640-1400-20e_lvis-v1.py',
    '../_base_/schedules/ema-early-stopping.py',
]

model = dict(
    roi_head=dict(
        bbox_head=dict(loss_cls=dict(loss_weight=2.0), loss_bbox=dict(loss_weight=2.0)),
        last_mask_head=dict(type='RefineMaskHead'),
    )
)
optim_wrapper = dict(type='OptimWrapper')
default_hooks = dict(checkpoint=dict(save_best='lvis/segm_AP_old@300', rule='greater'))
