"""Layers that two or more heads share."""

from plugins.layers.classwise_nms import Detections, classwise_nms, labelled_nms
from plugins.layers.image_vectors import add_image_vectors
from plugins.layers.label_convolution import knows_label_channels, label_channel
from plugins.layers.nms_options import read_max_per_img, read_nms, read_score_thr
from plugins.layers.normalized_conv2d import NormalizedConv2d
from plugins.layers.normalized_linear import NormalizedLinear, normalized_linear
from plugins.layers.unit_vectors import unit_vectors

__all__ = [
    'Detections',
    'NormalizedConv2d',
    'NormalizedLinear',
    'add_image_vectors',
    'classwise_nms',
    'knows_label_channels',
    'label_channel',
    'labelled_nms',
    'normalized_linear',
    'read_max_per_img',
    'read_nms',
    'read_score_thr',
    'unit_vectors',
]
