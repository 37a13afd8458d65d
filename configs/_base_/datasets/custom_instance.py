# Your own data set. Convert COCO-format annotations once, look at them, then change the two names:
#   python tools/data/coco_to_lvis.py your_train.json data/custom/annotations/train.json
#   python tools/data/coco_to_lvis.py your_val.json data/custom/annotations/val.json \
#       --frequency-from data/custom/annotations/train.json
#   python tools/data/check.py data/custom/annotations/train.json --images data/custom/train
_base_ = './lvis-format_instance.py'

data_root = 'data/custom/'
num_classes = 80  # tools/data/stats.py data/custom/annotations/train.json counts them

train_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='annotations/train.json', data_prefix=dict(img='train/')
    )
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='annotations/val.json', data_prefix=dict(img='val/'))
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
