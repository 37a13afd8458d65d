# Row 10: Seesaw loss of the report (q = 0) on normalised classifiers, in every stage; without TSD's
# progressive constraint on classification.
_base_ = './htc-lite_s200-dcn_efpg_tsd-scored_random-lsj-45e_lvis-v1.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(
            cls_predictor_cfg=dict(type='NormalizedLinear', temperature=20.0),
            loss_cls=dict(_delete_=True, type='SyncSeesawLoss', q=0.0),
            pc_cls=False,
        )
    )
)
