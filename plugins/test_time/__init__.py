"""Test-time augmentation of instance segmentation."""

from plugins.test_time.mask_tta_model import MaskTTAModel
from plugins.test_time.switch_on import use_test_time_augmentation

__all__ = ['MaskTTAModel', 'use_test_time_augmentation']
