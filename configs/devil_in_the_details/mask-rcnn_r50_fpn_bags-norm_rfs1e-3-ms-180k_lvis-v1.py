# Its background group is its objectness.
_base_ = './mask-rcnn_r50_fpn_bags_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(
    roi_head=dict(bbox_head=dict(cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0)))
)
