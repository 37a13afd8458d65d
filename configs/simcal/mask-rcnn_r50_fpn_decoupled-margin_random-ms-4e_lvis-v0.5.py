_base_ = './mask-rcnn_r50_fpn_decoupled_rfs1e-3-ms-4e_lvis-v0.5.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(second_classifier=dict(loss_cls=dict(type='ClassAwareMarginLoss')))
    )
)
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
