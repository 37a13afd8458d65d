# Hybrid Task Cascade (Chen et al. 2019) without the semantic branch, which needs stuff labels.
# Boxes are class-agnostic, masks class-wise; the first mask head has no predecessor to listen to.
_base_ = './cascade-mask-rcnn_r50_fpn.py'

model = dict(
    type='HybridTaskCascade',
    roi_head=dict(
        type='UniformHTCRoIHead',
        interleaved=True,
        mask_info_flow=True,
        mask_head=dict(type='HTCMaskHead', stage_with_conv_res=[False, True, True]),
    ),
)
