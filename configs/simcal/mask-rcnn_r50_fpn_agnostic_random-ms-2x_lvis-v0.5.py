# Boxes and masks that do not depend on the class, which helps classes with few examples.
_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-2x_lvis-v0.5.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_class_agnostic=True),
        mask_head=dict(class_agnostic=True),
    )
)
