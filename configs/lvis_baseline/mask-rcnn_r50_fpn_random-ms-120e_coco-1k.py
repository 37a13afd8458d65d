# Low-shot detection: COCO, trained on 1,000 random images. Make the annotations with
#   python tools/data/coco_to_lvis.py data/coco/annotations/instances_train2017.json \
#       data/coco/annotations/instances_train2017_lvis.json
_base_ = '../mask_rcnn/mask-rcnn_r50_fpn_random-ms-1x_coco-lt.py'

train_dataloader = dict(
    dataset=dict(ann_file='annotations/instances_train2017_lvis.json', random_subset=1000)
)
val_evaluator = dict(bins=None, counts=None)
test_evaluator = val_evaluator

# Ten times the epochs: 7,500 iterations.
train_cfg = dict(max_epochs=120, val_interval=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=120, by_epoch=True, milestones=[80, 110], gamma=0.1),
]
