# For testing only, with the weights of the config it inherits.
_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.7))))
