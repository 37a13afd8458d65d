# LVIS v1. Images are COCO's; its val split needs train2017 *and* val2017:
#   data/lvis_v1/{train2017,val2017,annotations/lvis_v1_{train,val}.json}
_base_ = './lvis-format_instance.py'

# A few boxes of the published files reach over the border of their image.
tolerated_problems = ['box-outside', 'box-partly-outside']

data_root = 'data/lvis_v1/'
num_classes = 1203

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/lvis_v1_train.json',
        tolerated_problems=tolerated_problems,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/lvis_v1_val.json',
        tolerated_problems=tolerated_problems,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/lvis_v1_val.json')
test_evaluator = val_evaluator
