_base_ = './mask-rcnn_r50_fpn_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='SigmoidLoss'))))

# It needs a longer warm-up: 10,000 iterations from a rate of 1e-4.
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(start_factor=0.005, end=10000)
