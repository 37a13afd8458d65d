"""Bayesian binning into quantiles: an average of histograms, weighted by how well they explain."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from plugins.evaluation.calibration.histogram import HistogramBinning, fit_histogram
from plugins.evaluation.calibration.score_range import check_observations, clip_scores

CRITERIA = ('aic', 'bic')
_SMALLEST_STEP = 0.001  # of sorted weights, relative to their variance; below it the tail is cut


@dataclass(frozen=True)
class BayesianBinning:
    """BBQ (Naeini et al., 2015) on bins of equal width, as the published numbers use it.

    Attributes:
        histograms: The averaged histograms.
        weights: float64 (H,), positive, sum 1.
    """

    histograms: tuple[HistogramBinning, ...]
    weights: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float64 (N,) in [0, 1], of float (N,) scores."""
        parts = (w * model(scores) for w, model in zip(self.weights, self.histograms, strict=True))
        return np.clip(sum(parts), 0.0, 1.0)

    def to_dict(self) -> dict:
        """Parameters as JSON values."""
        return {
            'weights': self.weights.tolist(),
            'histograms': [model.to_dict() for model in self.histograms],
        }

    @classmethod
    def from_dict(cls, parameters: dict) -> 'BayesianBinning':
        """Inverse of `to_dict`."""
        histograms = tuple(HistogramBinning.from_dict(part) for part in parameters['histograms'])
        weights = np.asarray(parameters['weights'], dtype=np.float64)
        if not histograms or weights.shape != (len(histograms),):
            raise ValueError('there must be one weight for each of at least one histogram')
        return cls(histograms, weights)


def fit_bayesian_binning(
    scores: np.ndarray, matched: np.ndarray, criterion: str = 'aic'
) -> BayesianBinning:
    """Fit `BayesianBinning`.

    Candidates have from n^(1/3)/10 to min(n/5, 10 n^(1/3)) bins. With B bins and log-likelihood
    LL a candidate costs 2 B - 2 LL (aic) or B ln n - 2 LL (bic) and weighs exp(-cost / 2). The
    heaviest candidates are kept up to the first step between neighbours that is negligible.

    Args:
        scores: float (N,), N >= 1.
        matched: bool (N,).
        criterion: ``'aic'`` or ``'bic'``.
    """
    if criterion not in CRITERIA:
        raise ValueError(f'criterion {criterion!r} is unknown: choose {" or ".join(CRITERIA)}')
    scores, labels = check_observations(scores, matched)
    price = 2.0 if criterion == 'aic' else math.log(len(scores))
    candidates = candidate_bins(len(scores))
    models = [fit_histogram(scores, labels, bins) for bins in candidates]
    likelihood = np.array([_log_likelihood(model, scores, labels) for model in models])
    cost = price * np.array(candidates) - 2 * likelihood
    weights = np.exp((cost.min() - cost) / 2)
    kept = _heaviest(weights)
    return BayesianBinning(tuple(models[k] for k in kept), weights[kept] / weights[kept].sum())


def candidate_bins(number: int) -> range:
    """Numbers of bins to try for `number` results, >= 1."""
    root = float(np.cbrt(number))
    most = min(math.ceil(number / 5), math.ceil(10 * root))
    return range(max(1, math.floor(root / 10)), most + 1)


def _log_likelihood(model: HistogramBinning, scores: np.ndarray, labels: np.ndarray) -> float:
    """Log-likelihood of the model as it is applied, which differs from its counts on edges."""
    chance = clip_scores(model(scores))
    return float((xlogy(labels, chance) + xlogy(1 - labels, 1 - chance)).sum())


def _heaviest(weights: np.ndarray) -> np.ndarray:
    order = np.argsort(-weights, kind='stable')
    variance = weights.var()
    if len(weights) == 1 or variance == 0:
        return order
    negligible = -np.diff(weights[order]) / variance <= _SMALLEST_STEP
    return order[: int(negligible.argmax()) + 1] if negligible.any() else order
