"""Data sets in LVIS format and the samplers that draw from them."""

from plugins.datasets.class_draw import ClassDraw
from plugins.datasets.lvis_format_dataset import LVISFormatDataset
from plugins.datasets.samplers import (
    ClassAwareImageSampler,
    ClassDrawSampler,
    RepeatFactorSampler,
    ResumableAspectRatioBatchSampler,
    ResumableBatchSampler,
)

__all__ = [
    'ClassAwareImageSampler',
    'ClassDraw',
    'ClassDrawSampler',
    'LVISFormatDataset',
    'RepeatFactorSampler',
    'ResumableAspectRatioBatchSampler',
    'ResumableBatchSampler',
]
