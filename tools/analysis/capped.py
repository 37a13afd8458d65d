"""AP of the results of one matching under limits that the engine's protocols do not name."""

from typing import TYPE_CHECKING

import numpy as np

from tools.light import import_light

if TYPE_CHECKING:
    from plugins.evaluation.engine import GroundTruth, Matches

KEYS = ('AP', 'APr', 'APc', 'APf')


def keep_per_image_then_category(
    matches: 'Matches', per_image: int, per_category: int
) -> np.ndarray:
    """The best of every image first, of what is left the best of every category.

    That is what a detector with a limit per image scores under AP_fixed.

    Args:
        matches: Outcome of the engine's matching by LVIS rules, M results.
        per_image: Results of each image that the detector gives out.
        per_category: Results of each category that count.

    Returns:
        bool (M,).
    """
    ranking = matches.ranking
    given = (ranking.image_rank < per_image) & (ranking.category >= 0)
    order = ranking.by_score[given[ranking.by_score]]
    order = order[np.argsort(ranking.category[order], kind='stable')]
    category = ranking.category[order]
    place = np.arange(len(order)) - np.searchsorted(category, category)
    kept = np.zeros(len(given), dtype=bool)
    kept[order[place < per_category]] = True
    return kept[matches.detection]


def average_precision(
    ground_truth: 'GroundTruth', matches: 'Matches', keep: np.ndarray, groups: str = ''
) -> tuple[float, ...]:
    """Mean AP over categories with annotations.

    Args:
        ground_truth: Annotations.
        matches: M results.
        keep: bool (M,), those that count.
        groups: Frequency groups, such as ``'rc'``, that the first value is restricted to; else it
            is over all categories.

    Returns:
        AP, APr, APc, APf in [0, 1]; -1 where no category has annotations.
    """
    engine = import_light('evaluation.engine')
    curves = engine.accumulate(matches, keep)
    frequency = ground_truth.frequency
    first = engine.in_groups(frequency, groups) if groups else None
    chosen = [first, *(engine.in_groups(frequency, letter) for letter in 'rcf')]
    return tuple(engine.mean_precision(curves, categories=part) for part in chosen)


def pooled_precision(
    ground_truth: 'GroundTruth', matches: 'Matches', keep: np.ndarray
) -> tuple[float, ...]:
    """AP_pool of the results that count, bool (M,): all, r, c, f in [0, 1], -1 if undefined."""
    engine = import_light('evaluation.engine')
    pools = engine.accumulate_pools(matches, keep, ground_truth.frequency)
    return tuple(pools[key] for key in KEYS)
