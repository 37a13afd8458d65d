"""Isotonic regression: the best increasing map from score to share of matched results."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from plugins.evaluation.calibration.score_range import check_observations, clip_scores


@dataclass(frozen=True)
class IsotonicCalibration:
    """Isotonic regression (Zadrozny and Elkan, 2002), linear between knots, constant outside.

    Attributes:
        knots: float64 (P,), scores, strictly increasing.
        values: float64 (P,), calibrated scores there, in [0, 1], not decreasing.
    """

    knots: np.ndarray
    values: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float64 (N,) in [0, 1], of float (N,) scores."""
        return np.interp(clip_scores(scores), self.knots, self.values)

    def to_dict(self) -> dict:
        """Parameters as JSON values."""
        return {'knots': self.knots.tolist(), 'values': self.values.tolist()}

    @classmethod
    def from_dict(cls, parameters: dict) -> 'IsotonicCalibration':
        """Inverse of `to_dict`."""
        knots = np.asarray(parameters['knots'], dtype=np.float64)
        values = np.asarray(parameters['values'], dtype=np.float64)
        if knots.ndim != 1 or not len(knots) or knots.shape != values.shape:
            raise ValueError('knots and values must be lists of the same length, at least 1')
        if (np.diff(knots) <= 0).any():
            raise ValueError('knots must increase strictly')
        return cls(knots, values)


def fit_isotonic(scores: np.ndarray, matched: np.ndarray) -> IsotonicCalibration:
    """Fit `IsotonicCalibration` by pooling adjacent violators.

    Args:
        scores: float (N,), N >= 1; equal scores count as one with the mean of their labels.
        matched: bool (N,).
    """
    scores, labels = check_observations(scores, matched)
    knots, index, total = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(index, weights=labels) / total
    values = np.clip(isotonic_regression(means, weights=total).x, 0.0, 1.0)
    # Inside a level stretch a knot changes nothing.
    needed = np.ones(len(knots), dtype=bool)
    needed[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return IsotonicCalibration(knots[needed], values[needed])
