# The baseline of the ablation: RFS, Seesaw loss, short sides from 400 to 1400, colour jitter.
_base_ = '../seesaw_loss/mask-rcnn_r50_fpn_seesaw_rfs1e-3-ms-2x_lvis-v1.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2] = dict(type='RandomResize', scale=[(1600, 400), (1600, 1400)], keep_ratio=True)
# After everything that mixes images, so that pasted objects look like what they stand on; small
# scales and occlusion can leave objects without a pixel.
train_pipeline[-1:] = [
    dict(type='RoundedPhotoMetricDistortion'),
    dict(type='FilterAnnotations', by_mask=True, keep_empty=False),
    train_pipeline[-1],
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
