# Mask R-CNN (He et al. 2017), with the test settings of LVIS: up to 300 detections per image, and
# a threshold low enough not to lose rare classes.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(type='UniformRoIHead'),
    train_cfg=dict(rpn=dict(assigner=dict(type='StreamedMaxIoUAssigner'))),
    test_cfg=dict(rcnn=dict(score_thr=1e-4, max_per_img=300)),
)
