_base_ = './cascade-mask-rcnn_regnety-4gf_fpn_ce-obj_rfs1e-3-ms400-1000-270k_lvis-v1.py'

model = dict(
    roi_head=dict(bbox_head=dict(cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0)))
)
