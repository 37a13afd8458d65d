# For testing only, with the weights of the config it inherits.
_base_ = './mask-rcnn_r50_fpn_agnostic-simcal_12k_coco-lt.py'

model = dict(roi_head=dict(bbox_head=dict(second_classifier=dict(merge='second'))))
