"""Scores and labels as every calibration method sees them: checked, and inside (0, 1)."""

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
"""Scores are clipped to [EPSILON, 1 - EPSILON] before anything is fitted or applied."""


def clip_scores(scores: np.ndarray) -> np.ndarray:
    """Clip scores into the open unit interval, where logarithms are finite.

    Args:
        scores: float (N,), any range.

    Returns:
        float64 (N,), in [EPSILON, 1 - EPSILON].

    Raises:
        ValueError: A score is NaN.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if np.isnan(scores).any():
        where = int(np.flatnonzero(np.isnan(scores))[0])
        raise ValueError(f'score {where} to calibrate is NaN: remove it from the results')
    return np.clip(scores, EPSILON, 1 - EPSILON)


def check_observations(scores: np.ndarray, matched: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clipped scores and float labels of a fit.

    Args:
        scores: float (N,), N >= 1.
        matched: bool (N,), whether the result found an object.

    Returns:
        float64 (N,) scores in (0, 1) and float64 (N,) labels, 0 or 1.

    Raises:
        ValueError: No observation, lengths that differ, or a NaN score.
    """
    scores, labels = clip_scores(scores), np.asarray(matched, dtype=np.float64)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise ValueError(f'scores {scores.shape} and labels {labels.shape} must be vectors alike')
    if not len(scores):
        raise ValueError('a calibration cannot be fitted without a single result')
    return scores, labels


def logit(scores: np.ndarray) -> np.ndarray:
    """Log-odds of clipped scores: float64 (N,), finite."""
    scores = clip_scores(scores)
    return np.log(scores) - np.log1p(-scores)
