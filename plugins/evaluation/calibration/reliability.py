"""How far scores are from probabilities: reliability diagrams and calibration errors."""

from dataclasses import dataclass

import numpy as np

from plugins.evaluation.calibration.histogram import count_bins

BINS = 20


@dataclass(frozen=True)
class Reliability:
    """Data of a reliability diagram with B bins of equal width on [0, 1].

    Attributes:
        count: int64 (B,), results per bin.
        score: float64 (B,), mean score of the bin, NaN where it is empty.
        matched: float64 (B,), share of matched results, NaN where it is empty.
        error: Expected calibration error: mean of |score - matched| over all results, in [0, 1],
            NaN without results.
    """

    count: np.ndarray
    score: np.ndarray
    matched: np.ndarray
    error: float


def reliability(scores: np.ndarray, matched: np.ndarray, bins: int = BINS) -> Reliability:
    """Bin results by score and compare score and share of matched results (Guo et al., 2017).

    Args:
        scores: float (N,), clipped to [0, 1].
        matched: bool (N,).
        bins: Number of bins, >= 1.
    """
    scores = np.clip(np.asarray(scores, dtype=np.float64), 0.0, 1.0)
    index, total, positive = count_bins(scores, np.asarray(matched, dtype=np.float64), bins)
    sums = np.bincount(index, weights=scores, minlength=bins)
    empty = np.full(bins, np.nan)
    score = np.divide(sums, total, out=empty.copy(), where=total > 0)
    share = np.divide(positive, total, out=empty, where=total > 0)
    error = float(np.abs(sums - positive).sum() / len(scores)) if len(scores) else float('nan')
    return Reliability(total.astype(np.int64), score, share, error)


def category_errors(
    category: np.ndarray, scores: np.ndarray, matched: np.ndarray, bins: int = BINS
) -> dict[int, float]:
    """Expected calibration error of each category that has results.

    Args:
        category: int (N,), category of each result.
        scores: float (N,).
        matched: bool (N,).
        bins: Number of bins, >= 1.

    Returns:
        Category -> error in [0, 1], ascending.
    """
    order = np.argsort(category, kind='stable')
    names, first = np.unique(np.asarray(category)[order], return_index=True)
    parts = np.split(order, first[1:]) if len(names) else []
    return {
        int(name): reliability(scores[part], matched[part], bins).error
        for name, part in zip(names, parts, strict=True)
    }
