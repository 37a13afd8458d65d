_base_ = './mask-rcnn_r50_fpn_seesaw-q0_random-ms-1x_lvis-v1.py'

model = dict(
    roi_head=dict(mask_head=dict(predictor_cfg=dict(type='NormalizedConv2d', temperature=20.0)))
)
