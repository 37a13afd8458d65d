_base_ = './mask-rcnn_nano_fpn_seesaw_balanced-mosaic_rfs5e-2-6e_synthetic-tail.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='BalancedCopyPaste', prob=0.5, repeat_threshold=5e-2))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
