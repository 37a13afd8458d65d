# HTC-Lite (MMDet team 2020): the box cascade of HTC, one mask head at its end, and a vector that
# says what the image is about added to the features of every RoI.
_base_ = './cascade-mask-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        type='UniformHTCLiteRoIHead',
        context_head=dict(type='FederatedContextHead', in_channels=256, conv_out_channels=256),
    )
)
