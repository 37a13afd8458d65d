"""Mask heads."""

from plugins.roi_heads.mask_heads.refine_mask_head import RefineMaskHead
from plugins.roi_heads.mask_heads.sees_images import SeesImages
from plugins.roi_heads.mask_heads.simple_refine_mask_head import SimpleRefineMaskHead

__all__ = ['RefineMaskHead', 'SeesImages', 'SimpleRefineMaskHead']
