_base_ = './mask-rcnn_r50_fpn_decoupled-margin_random-ms-4e_lvis-v0.5.py'

model = dict(
    roi_head=dict(bbox_head=dict(second_classifier=dict(loss_cls=dict(type='MultiClassFocalLoss'))))
)
