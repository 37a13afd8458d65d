"""Data sets in LVIS format and the samplers that draw from them."""

from plugins.datasets.lvis_format_dataset import LVISFormatDataset
from plugins.datasets.samplers import RepeatFactorSampler

__all__ = ['LVISFormatDataset', 'RepeatFactorSampler']
