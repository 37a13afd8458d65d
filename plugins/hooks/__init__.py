"""Hooks of the runner: checkpoint safety and the checks a run makes before it starts."""

from plugins.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from plugins.hooks.checkpoint_fit_hook import CheckpointFitHook
from plugins.hooks.class_count_hook import ClassCountHook
from plugins.hooks.resume_data_hook import ResumeDataHook
from plugins.hooks.streamed_results_hook import StreamedResultsHook
from plugins.hooks.training_counts_hook import TrainingCountsHook, set_category_counts

__all__ = [
    'AtomicCheckpointHook',
    'CheckpointFitHook',
    'ClassCountHook',
    'ResumeDataHook',
    'StreamedResultsHook',
    'TrainingCountsHook',
    'set_category_counts',
]
