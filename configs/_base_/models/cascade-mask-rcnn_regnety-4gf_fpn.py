# Cascade Mask R-CNN on RegNetY-4GF, the strong model of Dave et al. 2021. As there, the batch norms
# keep the statistics, scales and shifts of the pretrained weights.
_base_ = './cascade-mask-rcnn_r50_fpn.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='regnety_040.pycls_in1k',
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        frozen_norm=True,
        pretrained=True,
    ),
    neck=dict(in_channels=[128, 192, 512, 1088]),
)
