# COCO-LT: a long-tailed sample of COCO train2017 (SimCal, Wang et al. 2020), tested on COCO val2017
# by COCO's own protocol.
#   data/coco/{train2017,val2017,annotations/instances_{train,val}2017.json}
#   python tools/data/coco_lt.py data/coco/annotations/instances_train2017.json \
#       data/coco/annotations/coco-lt_train.json
_base_ = './lvis-format_instance.py'

data_root = 'data/coco/'
num_classes = 80

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/coco-lt_train.json',
        data_prefix=dict(img='train2017/'),
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(
    _delete_=True,
    type='LVISProtocolMetric',
    ann_file=data_root + 'annotations/instances_val2017.json',
    metric=['bbox', 'segm'],
    rules='coco',
    max_dets=100,  # per image and category
    bins='coco-lt',
    counts=data_root + 'annotations/coco-lt_train.json',
    prefix='coco',
)
test_evaluator = val_evaluator
