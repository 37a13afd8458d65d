"""Backbones that mmdet does not have."""

from plugins.backbones.cb_resnet import CBResNet
from plugins.backbones.cb_swin_transformer import CBSwinTransformer
from plugins.backbones.fused_swin_transformer import FusedSwinTransformer
from plugins.backbones.timm_backbone import TimmBackbone

__all__ = ['CBResNet', 'CBSwinTransformer', 'FusedSwinTransformer', 'TimmBackbone']
