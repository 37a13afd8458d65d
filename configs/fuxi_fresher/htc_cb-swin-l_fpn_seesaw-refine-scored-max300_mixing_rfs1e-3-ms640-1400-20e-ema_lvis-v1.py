# For testing only, with the weights of the config it inherits.
# Boundary AP by the rules of 2021, 300 detections per image (table 5).
_base_ = './htc_cb-swin-l_fpn_seesaw-refine-scored_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1.py'

model = dict(test_cfg=dict(rcnn=dict(max_per_img=300)))
val_evaluator = dict(metric=['bbox', 'segm', 'boundary'], dets_per_class=10000)
test_evaluator = val_evaluator
