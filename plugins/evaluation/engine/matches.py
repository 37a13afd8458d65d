"""Decisions of matching, sorted for accumulation."""

from dataclasses import dataclass

import numpy as np

from plugins.evaluation.engine.assignment import Decisions
from plugins.evaluation.engine.groups import Groups
from plugins.evaluation.engine.ranking import Ranking, sort_descending
from plugins.evaluation.engine.records import Results, Rules


@dataclass(frozen=True, slots=True)
class Matches:
    """The M results that count, by category, falling score, image and place in the file.

    A = 4 area ranges, K categories; bit t of a decision stands for IoU threshold t.

    Attributes:
        detection: int64 (M,), index into `Results`.
        category: int32 (M,).
        image: int32 (M,).
        score: float64 (M,).
        image_rank: int32 (M,), place among all results of the image (COCO: of the image and
            category), 0 is the best.
        category_rank: int32 (M,), place among all results of the category in all images.
        tp: uint16 (A, M), true positives.
        ignored: uint16 (A, M), neither true nor false positives.
        pair: int32 (M,), the annotation matched at one threshold, else -1; None unless asked for.
        n_gt: int64 (A, K), annotations that count.
        category_offset: int64 (K + 1,), where each category begins.
        pool_order: int32 (M,), the results by falling score over all categories, then by image,
            category and place in the group.
        ranking: Places of all results, for caps among some of them.
        rules: By which they were matched.
    """

    detection: np.ndarray
    category: np.ndarray
    image: np.ndarray
    score: np.ndarray
    image_rank: np.ndarray
    category_rank: np.ndarray
    tp: np.ndarray
    ignored: np.ndarray
    pair: np.ndarray | None
    n_gt: np.ndarray
    category_offset: np.ndarray
    pool_order: np.ndarray
    ranking: Ranking
    rules: Rules

    def __len__(self) -> int:
        return len(self.detection)


@dataclass(frozen=True, slots=True)
class Order:
    """The M results that count, sorted as `Matches` has them; fields as there.

    Attributes:
        place: int32 (M,), index into ``Groups.detection``.
    """

    place: np.ndarray
    detection: np.ndarray
    category: np.ndarray
    image: np.ndarray
    score: np.ndarray
    image_rank: np.ndarray
    category_rank: np.ndarray
    category_offset: np.ndarray
    pool_order: np.ndarray


def sort_results(
    results: Results, groups: Groups, ranking: Ranking, rules: Rules, takes_part: np.ndarray
) -> Order:
    """Sort results by category and falling score.

    Args:
        results: All results.
        groups: The groups with S results.
        ranking: Places of all results.
        rules: By which they are matched.
        takes_part: bool (S,), the others are left out.
    """
    score = np.asarray(results.score, np.float64)[groups.detection]
    pool = sort_descending(score, np.flatnonzero(takes_part).astype(np.int32))
    category = ranking.category[groups.detection]
    # Of 16-bit numbers numpy's stable sort is a radix sort.
    small = category.astype(np.uint16) if ranking.n_categories < 2**16 else category
    by_category = np.argsort(small[pool], kind='stable')
    place = pool[by_category]
    pool_order = np.empty(len(pool), np.int32)
    pool_order[by_category] = np.arange(len(pool), dtype=np.int32)
    detection = groups.detection[place]
    category = category[place]
    if rules.cap_per_category:
        starts = np.repeat(groups.offset[:-1], np.diff(groups.offset))
        image_rank = (place - starts[place]).astype(np.int32)
    else:
        image_rank = ranking.image_rank[detection]
    return Order(
        place=place,
        detection=detection.astype(np.int64),
        category=category,
        image=ranking.image[detection],
        score=score[place],
        image_rank=image_rank,
        category_rank=ranking.category_rank[detection],
        category_offset=np.searchsorted(category, np.arange(ranking.n_categories + 1)),
        pool_order=pool_order,
    )


def sorted_matches(
    order: Order,
    decisions: Decisions,
    n_gt: np.ndarray,
    ranking: Ranking,
    rules: Rules,
    *,
    with_pair: bool,
) -> Matches:
    """Decisions on all S results, sorted; ``n_gt`` is int64 (A, K)."""
    return Matches(
        detection=order.detection,
        category=order.category,
        image=order.image,
        score=order.score,
        image_rank=order.image_rank,
        category_rank=order.category_rank,
        tp=np.take(decisions.tp, order.place, axis=1),
        ignored=np.take(decisions.ignored, order.place, axis=1),
        pair=decisions.pair[order.place] if with_pair else None,
        n_gt=n_gt,
        category_offset=order.category_offset,
        pool_order=order.pool_order,
        ranking=ranking,
        rules=rules,
    )
