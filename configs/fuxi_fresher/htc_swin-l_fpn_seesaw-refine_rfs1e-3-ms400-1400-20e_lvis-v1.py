# RefineMask instead of the last mask head, losses of the box heads doubled (table 2).
_base_ = './htc_swin-l_fpn_seesaw_rfs1e-3-ms400-1400-20e_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(loss_cls=dict(loss_weight=2.0), loss_bbox=dict(loss_weight=2.0)),
        last_mask_head=dict(type='RefineMaskHead'),
    )
)
