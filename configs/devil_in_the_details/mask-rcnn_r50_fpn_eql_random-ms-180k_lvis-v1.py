# The setting in which the paper chose the parameter.
_base_ = './mask-rcnn_r50_fpn_eql_rfs1e-3-ms-180k_lvis-v1.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
