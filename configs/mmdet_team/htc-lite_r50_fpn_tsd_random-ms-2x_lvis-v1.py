# Row 5: TSD replaces the box heads of all three stages; it has no convolutions and no norm.
_base_ = './htc-lite_r50_fpn_random-ms-2x_lvis-v1.py'

bbox_head = {
    key: value
    for key, value in _base_.model.roi_head.bbox_head.items()
    if key not in ('conv_out_channels', 'norm_cfg')
}
bbox_head.update(_delete_=True, type='TSDShared2FCBBoxHead')
model = dict(roi_head=dict(bbox_head=bbox_head))
del bbox_head
