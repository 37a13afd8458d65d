# For testing only, with the weights of the config it inherits.
# Result files for the challenge (table 6); its images are in data/lvis_v1/test2017.
_base_ = './htc_cb-swin-l_fpn_seesaw-refine-scored_mixing_rfs1e-3-ms640-1400-20e-ema_lvis-v1.py'

model = dict(test_cfg=dict(rcnn=dict(max_per_img=1000)))
test_dataloader = dict(dataset=dict(ann_file='annotations/lvis_v1_image_info_test_challenge.json'))
test_evaluator = dict(
    ann_file=_base_.data_root + 'annotations/lvis_v1_image_info_test_challenge.json',
    metric='segm',
    rules='coco',  # the file has no federated lists, and nothing is scored here
    format_only=True,
    outfile_prefix='work_dirs/lvis-v1-test-challenge/results',
    dets_per_class=10000,
)
