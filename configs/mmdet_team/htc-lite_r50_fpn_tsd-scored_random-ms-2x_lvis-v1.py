# Row 6: scores of masks are those of boxes times the predicted IoU.
_base_ = './htc-lite_r50_fpn_tsd_random-ms-2x_lvis-v1.py'

model = dict(roi_head=dict(mask_iou_head=dict(type='LabelMaskIoUHead')))
