# The built-in data set, made by `python tools/data/generate.py data/synthetic`.
_base_ = './lvis-format_instance.py'

data_root = 'data/synthetic/'
num_classes = 24
image_scale = (256, 208)  # its images have 192 x 160 pixels; larger ones help a small network

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='Resize', scale=image_scale, keep_ratio=True)
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_scale
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=scale, keep_ratio=True)
    for scale in (image_scale, (192, 160), (320, 256))
]

train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/synthetic_train.json',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='annotations/synthetic_val.json', pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=data_root + 'annotations/synthetic_val.json')
test_evaluator = val_evaluator
