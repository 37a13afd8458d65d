_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint='torchvision://resnet101')))
