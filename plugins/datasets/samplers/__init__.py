"""Samplers that change how often an image is seen."""

from plugins.datasets.samplers.repeat_factor_sampler import RepeatFactorSampler

__all__ = ['RepeatFactorSampler']
