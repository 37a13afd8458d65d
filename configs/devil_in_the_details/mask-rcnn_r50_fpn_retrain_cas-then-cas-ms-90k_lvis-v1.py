_base_ = './mask-rcnn_r50_fpn_retrain_rfs1e-3-then-rfs1e-3-ms-90k_lvis-v1.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='ClassAwareImageSampler'))
load_from = 'work_dirs/mask-rcnn_r50_fpn_cas-ms-180k_lvis-v1/iter_180000.pth'
