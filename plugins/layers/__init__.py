"""Layers that two or more heads share."""

from plugins.layers.normalized_conv2d import NormalizedConv2d
from plugins.layers.normalized_linear import NormalizedLinear, normalized_linear
from plugins.layers.unit_vectors import unit_vectors

__all__ = ['NormalizedConv2d', 'NormalizedLinear', 'normalized_linear', 'unit_vectors']
