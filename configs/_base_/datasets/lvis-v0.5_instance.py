# LVIS v0.5. Its file names are COCO 2014's; the images are found under their 2017 names:
#   data/lvis_v0.5/{train2017,val2017,annotations/lvis_v0.5_{train,val}.json}
_base_ = './lvis-format_instance.py'

# A few boxes of the published files reach over the border of their image.
tolerated_problems = ['box-outside', 'box-partly-outside']

data_root = 'data/lvis_v0.5/'
num_classes = 1230

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/lvis_v0.5_train.json',
        data_prefix=dict(img='train2017/'),
        tolerated_problems=tolerated_problems,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/lvis_v0.5_val.json',
        data_prefix=dict(img='val2017/'),
        tolerated_problems=tolerated_problems,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/lvis_v0.5_val.json')
test_evaluator = val_evaluator
