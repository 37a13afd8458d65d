"""Detectors beyond mmdet's."""

from plugins.detectors.composite_detector import CompositeDetector
from plugins.detectors.retrained_detector import RetrainedDetector

__all__ = ['CompositeDetector', 'RetrainedDetector']
