# Objects of rare and common categories are pasted into half of the training images (table 1).
_base_ = './htc_swin-l_fpn_seesaw_rfs1e-3-ms400-1400-20e_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline.insert(4, dict(type='BalancedCopyPaste', prob=0.5))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
