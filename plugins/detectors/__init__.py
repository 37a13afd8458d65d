"""Detectors beyond mmdet's."""

from plugins.detectors.retrained_detector import RetrainedDetector

__all__ = ['RetrainedDetector']
