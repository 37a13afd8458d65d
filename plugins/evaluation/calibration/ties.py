"""Make calibrated scores distinct where the original ones were."""

import numpy as np

SMALLEST = float(np.finfo(np.float64).tiny)
"""Scores of 0 are lifted to this, the smallest number that no reader flushes to zero."""


def break_ties(calibrated: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Scores whose order is that of (calibrated, original).

    Piecewise constant maps make thousands of scores equal, and evaluators would then rank these
    by position in the file. Each score here is the smallest float64 that is no smaller than its
    calibrated value and larger than every score ranked below it: nothing moves by more than one
    unit in the last place per result below it in its tie, and results that agree in both numbers
    still tie.

    Args:
        calibrated: float (N,), >= 0, finite.
        original: float (N,), no NaN.

    Returns:
        float64 (N,), >= `SMALLEST`.
    """
    calibrated = np.maximum(np.asarray(calibrated, dtype=np.float64), SMALLEST)
    if not len(calibrated):
        return calibrated
    order = np.lexsort((original, calibrated))
    value, old = calibrated[order], np.asarray(original)[order]
    rank = np.cumsum(np.r_[False, (np.diff(value) > 0) | (np.diff(old) > 0)])
    # Bit patterns of positive floats are ordered like the floats, and neighbours differ by 1.
    bits = np.maximum.accumulate(value.view(np.int64) - rank) + rank
    scores = np.empty_like(value)
    scores[order] = bits.view(np.float64)
    return scores
