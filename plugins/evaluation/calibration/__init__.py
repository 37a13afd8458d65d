"""Turn scores into probabilities, one category at a time; numpy and scipy only."""

from plugins.evaluation.calibration.methods import METHODS, Calibrator, fit_method, restore_method
from plugins.evaluation.calibration.observations import (
    MatchingOptions,
    Observations,
    observe,
)
from plugins.evaluation.calibration.per_class import FALLBACKS, ClassCalibration, fit_per_class
from plugins.evaluation.calibration.reliability import Reliability, category_errors, reliability
from plugins.evaluation.calibration.rewrite import rewrite_scores
from plugins.evaluation.calibration.store import (
    CalibrationFile,
    read_calibration,
    write_calibration,
)
from plugins.evaluation.calibration.ties import break_ties

__all__ = [
    'FALLBACKS',
    'METHODS',
    'CalibrationFile',
    'Calibrator',
    'ClassCalibration',
    'MatchingOptions',
    'Observations',
    'Reliability',
    'break_ties',
    'category_errors',
    'fit_method',
    'fit_per_class',
    'observe',
    'read_calibration',
    'reliability',
    'restore_method',
    'rewrite_scores',
    'write_calibration',
]
