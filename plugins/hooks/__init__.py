"""Hooks of the runner: averaging, stopping, drawing, and what makes runs safe to interrupt."""

from plugins.hooks.ap_curve_hook import APCurveHook
from plugins.hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from plugins.hooks.checkpoint_fit_hook import CheckpointFitHook
from plugins.hooks.class_count_hook import ClassCountHook
from plugins.hooks.patient_early_stopping_hook import PatientEarlyStoppingHook
from plugins.hooks.resume_data_hook import ResumeDataHook
from plugins.hooks.resume_validation_hook import ResumeValidationHook
from plugins.hooks.step_seed_hook import StepSeedHook
from plugins.hooks.streamed_results_hook import StreamedResultsHook
from plugins.hooks.training_counts_hook import TrainingCountsHook, set_category_counts
from plugins.hooks.weights_ema_hook import WeightsEMAHook

__all__ = [
    'APCurveHook',
    'AtomicCheckpointHook',
    'CheckpointFitHook',
    'ClassCountHook',
    'PatientEarlyStoppingHook',
    'ResumeDataHook',
    'ResumeValidationHook',
    'StepSeedHook',
    'StreamedResultsHook',
    'TrainingCountsHook',
    'WeightsEMAHook',
    'set_category_counts',
]
