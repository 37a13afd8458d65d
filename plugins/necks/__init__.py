"""Necks: what lies between a backbone and the heads."""

from plugins.necks.carafe_downsample import carafe_downsample
from plugins.necks.enhanced_fpg import EnhancedFPG

__all__ = ['EnhancedFPG', 'carafe_downsample']
