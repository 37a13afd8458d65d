# Plain mosaic: the partners of an image are drawn uniformly.
_base_ = './mask-rcnn_r50_fpn_seesaw_balanced-mosaic_rfs1e-3-ms640-1400-2x_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].repeat_threshold = 0.0

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
