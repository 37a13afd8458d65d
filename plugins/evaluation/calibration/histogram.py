"""Histogram binning: a score becomes the share of matched results in its bin."""

from dataclasses import dataclass

import numpy as np

from plugins.evaluation.calibration.score_range import check_observations, clip_scores

BINS = 20


@dataclass(frozen=True)
class HistogramBinning:
    """Histogram binning (Zadrozny and Elkan, 2001) with bins of equal width on [0, 1].

    Attributes:
        values: float64 (B,), calibrated score of each bin.
    """

    values: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores.

        A score exactly on an edge takes the lower bin although a training score there counted for
        the upper one; the published numbers come from a program that does so.

        Args:
            scores: float (N,).

        Returns:
            float64 (N,), in [0, 1].
        """
        bins = len(self.values)
        edges = np.linspace(0, 1, bins + 1)
        index = np.searchsorted(edges, clip_scores(scores), side='left') - 1
        return self.values[np.clip(index, 0, bins - 1)]

    def to_dict(self) -> dict:
        """Parameters as JSON values."""
        return {'values': self.values.tolist()}

    @classmethod
    def from_dict(cls, parameters: dict) -> 'HistogramBinning':
        """Inverse of `to_dict`."""
        values = np.asarray(parameters['values'], dtype=np.float64)
        if values.ndim != 1 or not len(values):
            raise ValueError('values must be a list of at least one number')
        return cls(values)


def count_bins(
    scores: np.ndarray, labels: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Assign scores to bins of equal width; an edge belongs to the upper bin.

    Args:
        scores: float64 (N,), in [0, 1].
        labels: float64 (N,), 0 or 1.
        bins: Number of bins B, >= 1.

    Returns:
        int64 (N,) bin of each score, float64 (B,) results per bin, float64 (B,) matched per bin.
    """
    edges = np.linspace(0, 1, bins + 1)
    index = np.minimum(np.searchsorted(edges, scores, side='right') - 1, bins - 1)
    total = np.bincount(index, minlength=bins).astype(np.float64)
    return index, total, np.bincount(index, weights=labels, minlength=bins)


def fit_histogram(scores: np.ndarray, matched: np.ndarray, bins: int = BINS) -> HistogramBinning:
    """Fit `HistogramBinning`; an empty bin takes its centre.

    Args:
        scores: float (N,), N >= 1.
        matched: bool (N,).
        bins: Number of bins, >= 1.
    """
    scores, labels = check_observations(scores, matched)
    _, total, positive = count_bins(scores, labels, bins)
    centres = (np.arange(bins) + 0.5) / bins
    return HistogramBinning(np.divide(positive, total, out=centres, where=total > 0))
