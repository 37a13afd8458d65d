# Mask R-CNN with one box regressor and one mask for all classes: what a rare class cannot learn
# from its few objects it takes from all (Wang et al. 2020, table 3).
_base_ = './mask-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        bbox_head=dict(reg_class_agnostic=True),
        mask_head=dict(class_agnostic=True),
    )
)
