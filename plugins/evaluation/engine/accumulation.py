"""Precision and recall from the decisions of matching, equal to lvis-api's to the last bit."""

from dataclasses import dataclass

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.matches import Matches
from plugins.evaluation.engine.records import IOU_THRESHOLDS, RECALL_POINTS

_EVERY_THRESHOLD = (1 << len(IOU_THRESHOLDS)) - 1
_POOLS = ('', 'r', 'c', 'f')


@dataclass(frozen=True, slots=True)
class Curves:
    """Precision and recall of K categories; -1 for categories without annotations that count.

    Attributes:
        precision: float64 (T, R, K, A), at T IoU thresholds, R recall points and in A area
            ranges.
        recall: float64 (T, K, A), what all results reach.
    """

    precision: np.ndarray
    recall: np.ndarray


def accumulate(matches: Matches, keep: np.ndarray) -> Curves:
    """Precision-recall curves of every category from the kept results.

    Args:
        matches: Decisions on M results.
        keep: bool (M,), the results that a protocol admits.
    """
    n_areas, n_categories = matches.n_gt.shape
    shape = (n_areas, len(IOU_THRESHOLDS), len(RECALL_POINTS), n_categories)
    precision, recall = np.empty(shape), np.empty((n_areas, shape[1], n_categories))
    _accumulate(
        matches.category_offset, matches.tp, matches.ignored, keep, matches.n_gt,
        RECALL_POINTS, precision, recall,
    )  # fmt: skip
    return Curves(np.moveaxis(precision, 0, 3), np.moveaxis(recall, 0, 2))


def accumulate_pools(matches: Matches, keep: np.ndarray, frequency: np.ndarray) -> dict[str, float]:
    """AP_pool (Dave et al. 2021): one curve over the results of many categories.

    Args:
        matches: Decisions on M results.
        keep: bool (M,), the results that a protocol admits.
        frequency: uint8 (K,), the code of ``'r'``, ``'c'`` or ``'f'``, or 0.

    Returns:
        ``AP``, ``APr``, ``APc`` and ``APf``, -1 for a pool without annotations.
    """
    pool = np.zeros(len(frequency), np.int64)
    for index, letter in enumerate(_POOLS[1:], 1):
        pool[frequency == ord(letter)] = index
    n_gt = np.bincount(pool, matches.n_gt[0], len(_POOLS)).astype(np.int64)
    n_gt[0] = matches.n_gt[0].sum()
    precision = np.empty((len(_POOLS), len(IOU_THRESHOLDS), len(RECALL_POINTS)))
    _accumulate_pools(
        matches.pool_order, matches.category, matches.tp[0], matches.ignored[0], keep, pool,
        n_gt, RECALL_POINTS, precision,
    )  # fmt: skip
    return {
        f'AP{letter}': float(precision[index].mean()) if n_gt[index] else -1.0
        for index, letter in enumerate(_POOLS)
    }


@compiled
def _accumulate(offset, tp, ignored, keep, n_gt, points, precision, recall):
    n_areas, n_levels = precision.shape[:2]
    most = 0
    for category in range(n_gt.shape[1]):
        most = max(most, n_gt[0, category])
    curve = np.empty((n_levels, most + 1))
    hits, skipped = np.empty(n_levels, np.int64), np.empty(n_levels, np.int64)
    values = np.empty(len(points))
    for area in range(n_areas):
        for category in range(n_gt.shape[1]):
            total = n_gt[area, category]
            if total == 0:
                precision[area, :, :, category] = -1
                recall[area, :, category] = -1
                continue
            hits[:] = 0
            skipped[:] = 0
            seen = 0
            for i in range(offset[category], offset[category + 1]):
                if keep[i]:
                    seen = count_result(tp[area, i], ignored[area, i], seen, hits, skipped, curve)
            for level in range(n_levels):
                recall[area, level, category] = hits[level] / total
                interpolate(curve[level], hits[level], total, points, values)
                precision[area, level, :, category] = values


@compiled
def _accumulate_pools(order, category, tp, ignored, keep, pool, n_gt, points, precision):
    n_pools, n_levels = precision.shape[:2]
    curve = np.empty((n_pools, n_levels, n_gt[0] + 1))
    hits, skipped = np.zeros((n_pools, n_levels), np.int64), np.zeros((n_pools, n_levels), np.int64)
    seen = np.zeros(n_pools, np.int64)
    for i in order:
        if not keep[i]:
            continue
        seen[0] = count_result(tp[i], ignored[i], seen[0], hits[0], skipped[0], curve[0])
        k = pool[category[i]]
        if k > 0:
            seen[k] = count_result(tp[i], ignored[i], seen[k], hits[k], skipped[k], curve[k])
    for k in range(n_pools):
        for level in range(n_levels):
            if n_gt[k] > 0:
                interpolate(curve[k, level], hits[k, level], n_gt[k], points, precision[k, level])


@compiled
def count_result(tp, ignored, seen, hits, skipped, curve):
    """Note the precision at every threshold where a result is a true positive.

    Args:
        tp: Thresholds at which it is one, as bits.
        ignored: Thresholds at which it is ignored, as bits.
        seen: Results so far that are not ignored at all thresholds.
        hits: int64 (T,), true positives so far.
        skipped: int64 (T,), results among ``seen`` that are ignored at the threshold.
        curve: float64 (T, n), the precisions so far.

    Returns:
        The new ``seen``.
    """
    if ignored == _EVERY_THRESHOLD:
        return seen
    seen += 1
    if tp == 0 and ignored == 0:
        return seen
    for level in range(len(hits)):
        if (ignored >> level) & 1:
            skipped[level] += 1
        elif (tp >> level) & 1:
            # The reference adds this epsilon; it shows only for a first result.
            curve[level, hits[level]] = (hits[level] + 1) / (seen - skipped[level] + 2.0**-52)
            hits[level] += 1
    return seen


@compiled
def interpolate(curve, hits, total, points, precision):
    """Write the best precision at or after the first result that reaches each recall point.

    Between true positives precision only falls, so those are all that matters.

    Args:
        curve: float64, precision at each true positive; is overwritten.
        hits: True positives.
        total: Annotations.
        points: float64 (R,), ascending.
        precision: float64 (R,), receives the values, 0 where the recall is not reached.
    """
    for i in range(hits - 2, -1, -1):
        curve[i] = max(curve[i], curve[i + 1])
    i = 0
    for r in range(len(points)):
        while i < hits and (i + 1) / total < points[r]:
            i += 1
        precision[r] = curve[i] if i < hits else 0.0
