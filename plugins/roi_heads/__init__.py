"""RoI heads under one address: ``model.roi_head.bbox_head`` is one dict in every model."""

from plugins.roi_heads.uniform_cascade_roi_head import UniformCascadeRoIHead
from plugins.roi_heads.uniform_roi_head import UniformRoIHead

__all__ = ['UniformCascadeRoIHead', 'UniformRoIHead']
