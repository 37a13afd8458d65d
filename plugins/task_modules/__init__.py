"""Assigners, samplers and coders beyond mmdet's."""

from plugins.task_modules.class_draw_roi_sampler import ClassDrawRoISampler

__all__ = ['ClassDrawRoISampler']
