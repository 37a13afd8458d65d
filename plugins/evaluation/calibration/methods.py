"""The calibration methods by name."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from plugins.evaluation.calibration.bayesian_binning import BayesianBinning, fit_bayesian_binning
from plugins.evaluation.calibration.histogram import HistogramBinning, fit_histogram
from plugins.evaluation.calibration.isotonic import IsotonicCalibration, fit_isotonic
from plugins.evaluation.calibration.logistic import LogisticCalibration, fit_logistic


class Calibrator(Protocol):
    """A fitted map from score to calibrated score."""

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float64 (N,) in [0, 1], of float (N,) scores."""

    def to_dict(self) -> dict:
        """Parameters as JSON values."""


_FITS: dict[str, tuple[type, Callable[[np.ndarray, np.ndarray], Calibrator]]] = {
    'histogram': (HistogramBinning, fit_histogram),
    'bbq-aic': (BayesianBinning, partial(fit_bayesian_binning, criterion='aic')),
    'bbq-bic': (BayesianBinning, partial(fit_bayesian_binning, criterion='bic')),
    'beta': (LogisticCalibration, partial(fit_logistic, form='beta')),
    'isotonic': (IsotonicCalibration, fit_isotonic),
    'platt': (LogisticCalibration, partial(fit_logistic, form='platt')),
    'temperature': (LogisticCalibration, partial(fit_logistic, form='temperature')),
}

METHODS = tuple(_FITS)
"""Names of the methods."""


def fit_method(method: str, scores: np.ndarray, matched: np.ndarray) -> Calibrator:
    """Fit one method to the results of one category (or of any other set).

    Args:
        method: One of `METHODS`.
        scores: float (N,), N >= 1.
        matched: bool (N,), whether the result found an object.

    Raises:
        ValueError: Unknown method, no result, NaN.
    """
    return _entry(method)[1](scores, matched)


def restore_method(method: str, parameters: dict) -> Calibrator:
    """The fitted map whose `to_dict` gave `parameters`."""
    try:
        return _entry(method)[0].from_dict(parameters)
    except (KeyError, TypeError) as error:
        raise ValueError(f'parameters of {method} are incomplete: {error}') from error


def _entry(method: str) -> tuple[type, Callable]:
    if method not in _FITS:
        raise ValueError(f'method {method!r} is unknown: choose one of {", ".join(METHODS)}')
    return _FITS[method]
