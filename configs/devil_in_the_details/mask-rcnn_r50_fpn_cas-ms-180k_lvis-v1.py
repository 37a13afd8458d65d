_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareImageSampler'))
