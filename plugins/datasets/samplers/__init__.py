"""Samplers that change how often an image is seen, and batch samplers that can be resumed."""

from plugins.datasets.samplers.class_aware_image_sampler import ClassAwareImageSampler
from plugins.datasets.samplers.class_draw_sampler import ClassDrawSampler
from plugins.datasets.samplers.repeat_factor_sampler import RepeatFactorSampler
from plugins.datasets.samplers.resumable_aspect_ratio_batch_sampler import (
    ResumableAspectRatioBatchSampler,
)
from plugins.datasets.samplers.resumable_batch_sampler import ResumableBatchSampler

__all__ = [
    'ClassAwareImageSampler',
    'ClassDrawSampler',
    'RepeatFactorSampler',
    'ResumableAspectRatioBatchSampler',
    'ResumableBatchSampler',
]
