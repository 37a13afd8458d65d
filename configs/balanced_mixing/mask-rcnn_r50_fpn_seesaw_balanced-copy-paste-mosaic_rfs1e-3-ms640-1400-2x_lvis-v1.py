# Both: mosaics are made right after loading, objects are pasted after the flip.
_base_ = './mask-rcnn_r50_fpn_seesaw_balanced-mosaic_rfs1e-3-ms640-1400-2x_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(5, dict(type='BalancedCopyPaste', prob=0.5))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
