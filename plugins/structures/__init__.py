"""Containers for what a sample holds."""

from plugins.structures.crop_masks import CropMasks

__all__ = ['CropMasks']
