_base_ = './mask-rcnn_r50_fpn_simcal_12k_lvis-v0.5.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_class_agnostic=True),
        mask_head=dict(class_agnostic=True),
    )
)
load_from = 'work_dirs/mask-rcnn_r50_fpn_agnostic_random-ms-2x_lvis-v0.5/epoch_24.pth'
