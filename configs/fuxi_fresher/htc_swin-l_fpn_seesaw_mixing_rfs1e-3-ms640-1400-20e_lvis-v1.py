# Half of the training images are made of four (table 1). Short sides start at 640: objects of a
# mosaic are smaller already.
_base_ = './htc_swin-l_fpn_seesaw_balanced-copy-paste_rfs1e-3-ms400-1400-20e_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = [(1600, 640), (1600, 1400)]
train_pipeline.insert(2, dict(type='BalancedMosaic', prob=0.5, img_scale=(1333, 800)))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
