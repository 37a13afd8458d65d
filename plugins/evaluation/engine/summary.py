"""Means over precision and recall: the numbers that are reported."""

from collections.abc import Sequence

import numpy as np

from plugins.evaluation.engine.accumulation import Curves
from plugins.evaluation.engine.records import AREA_NAMES, IOU_THRESHOLDS, GroundTruth

_AREA_LETTERS = {name[0]: index for index, name in enumerate(AREA_NAMES) if name != 'all'}
UNDEFINED = -1.0
"""Mean of nothing, as in lvis-api."""


def summarise(curves: Curves, ground_truth: GroundTruth, caps_name: str) -> dict[str, float]:
    """AP and AR of a protocol, in [0, 1], or -1 where there is no annotation.

    Args:
        curves: Of the results that the protocol admits.
        ground_truth: Names the frequency groups.
        caps_name: How many results count, the part behind ``AR@``.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``, ``AR@…``, ``ARs@…``, ``ARm@…``,
        ``ARl@…`` and, if the file names frequency groups, ``APr``, ``APc`` and ``APf``.
    """
    values = {'AP': mean_precision(curves)}
    for percent in (50, 75):
        level = int(np.flatnonzero(np.isclose(IOU_THRESHOLDS, percent / 100))[0])
        values[f'AP{percent}'] = mean_precision(curves, level=level)
    values |= {f'AP{k}': mean_precision(curves, area=area) for k, area in _AREA_LETTERS.items()}
    if ground_truth.frequency.any():
        for letter in 'rcf':
            chosen = ground_truth.frequency == ord(letter)
            values[f'AP{letter}'] = mean_precision(curves, categories=chosen)
    values[f'AR@{caps_name}'] = mean_recall(curves)
    for letter, area in _AREA_LETTERS.items():
        values[f'AR{letter}@{caps_name}'] = mean_recall(curves, area=area)
    return values


def mean_precision(
    curves: Curves,
    *,
    area: int = 0,
    level: int | None = None,
    categories: np.ndarray | None = None,
) -> float:
    """Mean over IoU thresholds, recall points and categories, all entries alike.

    The order of summation is that of lvis-api, so that the last bit agrees.

    Args:
        curves: Precision and recall.
        area: Index of the area range.
        level: Index of one IoU threshold; by default all.
        categories: bool (K,); by default all.
    """
    defined = curves.recall[0, :, area] > UNDEFINED
    chosen = np.flatnonzero(defined if categories is None else defined & categories)
    levels = slice(None) if level is None else slice(level, level + 1)
    return _mean(curves.precision[levels, :, :, area][:, :, chosen])


def mean_recall(curves: Curves, *, area: int = 0) -> float:
    """Mean of the final recalls over IoU thresholds and categories."""
    recall = curves.recall[:, :, area]
    return _mean(recall[recall > UNDEFINED])


def category_precision(curves: Curves) -> np.ndarray:
    """AP of every category, float64 (K, A), -1 where it has no annotation in the area range."""
    _, _, n_categories, n_areas = curves.precision.shape
    return np.array(
        [
            [_mean(curves.precision[:, :, category, area]) for area in range(n_areas)]
            for category in range(n_categories)
        ]
    ).reshape(n_categories, n_areas)


def bin_precision(
    per_category: np.ndarray, train_instances: np.ndarray, limits: Sequence[int]
) -> dict[str, float]:
    """Mean AP of categories by how many training instances they have.

    Args:
        per_category: float64 (K,), AP, -1 where undefined.
        train_instances: int64 (K,).
        limits: First count of each bin but the first, ascending.

    Returns:
        ``AP1``, ``AP2``, ... with -1 for an empty bin, and ``bAP``, the mean of the others.
    """
    bins = np.digitize(train_instances, limits)
    defined = per_category > UNDEFINED
    values = [_mean(per_category[defined & (bins == index)]) for index in range(len(limits) + 1)]
    means = np.array(values)
    return {f'AP{index}': value for index, value in enumerate(values, 1)} | {
        'bAP': _mean(means[means > UNDEFINED])
    }


def _mean(values: np.ndarray) -> float:
    # One dimension, so that numpy adds in the same order as the reference's masked selection.
    return float(np.mean(values.ravel())) if values.size else UNDEFINED
