"""Backbones that mmdet does not have."""

from plugins.backbones.timm_backbone import TimmBackbone

__all__ = ['TimmBackbone']
