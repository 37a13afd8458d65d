_base_ = './mask-rcnn_r50_fpn_seesaw_rfs1e-3-ms-2x_lvis-v1.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
