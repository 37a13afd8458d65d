_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-2x_lvis-v0.5.py'

model = dict(
    roi_head=dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='InverseFrequencyLoss')))
)
