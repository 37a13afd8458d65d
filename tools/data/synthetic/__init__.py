"""The built-in data set: long-tailed synthetic scenes in LVIS v1 format."""

from .options import SyntheticDataError, SyntheticOptions
from .pipeline import GeneratedDataset, generate_dataset

__all__ = ['GeneratedDataset', 'SyntheticDataError', 'SyntheticOptions', 'generate_dataset']
