# The champion of 2021 (table 3): scores of masks are those of boxes times their predicted IoU.
_base_ = './htc_cb-swin-l_fpn_seesaw-refine_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1.py'

model = dict(roi_head=dict(mask_iou_head=dict(type='LabelMaskIoUHead')))
