"""Assigners, samplers and coders beyond mmdet's."""

from plugins.task_modules.class_draw_roi_sampler import ClassDrawRoISampler
from plugins.task_modules.streamed_max_iou_assigner import StreamedMaxIoUAssigner

__all__ = ['ClassDrawRoISampler', 'StreamedMaxIoUAssigner']
