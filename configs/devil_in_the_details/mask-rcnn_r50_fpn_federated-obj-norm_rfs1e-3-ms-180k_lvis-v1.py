_base_ = './mask-rcnn_r50_fpn_federated_rfs1e-3-ms-180k_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=50.0),
            loss_cls=dict(
                _delete_=True,
                type='ObjectnessLoss',
                loss_cls=dict(type='FederatedLoss', num_sampled=50),
            ),
        )
    )
)
