# The built-in data set with a longer tail and enough images to tell methods apart, made by
#   python tools/data/generate.py data/synthetic-tail --categories 64 --train-images 800 \
#       --val-images 400 --frequency-limits 15 60
_base_ = './synthetic_instance.py'

data_root = 'data/synthetic-tail/'
num_classes = 64

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/synthetic_val.json')
test_evaluator = val_evaluator
