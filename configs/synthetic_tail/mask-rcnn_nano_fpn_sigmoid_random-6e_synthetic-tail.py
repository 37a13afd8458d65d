_base_ = './mask-rcnn_nano_fpn_random-6e_synthetic-tail.py'

model = dict(roi_head=dict(bbox_head=dict(loss_cls=dict(_delete_=True, type='SigmoidLoss'))))
