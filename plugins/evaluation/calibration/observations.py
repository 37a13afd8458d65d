"""What a calibration learns from: results with their scores and whether they found an object."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from plugins.evaluation.engine.records import IOU_THRESHOLDS

if TYPE_CHECKING:
    from plugins.evaluation.engine import GroundTruth, Matches


@dataclass(frozen=True)
class MatchingOptions:
    """How results become observations; the defaults are those of the published numbers.

    Attributes:
        iou_type: What overlaps: ``'segm'`` or ``'bbox'``.
        iou: IoU from which on a result counts as matched: 0.50, 0.55, ..., 0.95.
        rules: ``'lvis'`` or ``'coco'``.
        dets_per_class: Results of each category that take part, best first; negative for all.
        count_not_exhaustive: Count unmatched results in images where their category is not
            exhaustively annotated as misses, as large-vocab-devil does; else they are left out.
    """

    iou_type: str = 'segm'
    iou: float = 0.75
    rules: str = 'lvis'
    dets_per_class: int = 10_000
    count_not_exhaustive: bool = False

    def __post_init__(self):
        if self.iou_type not in ('segm', 'bbox'):
            raise ValueError(f"iou_type {self.iou_type!r} must be 'segm' or 'bbox'")
        if self.rules not in ('lvis', 'coco'):
            raise ValueError(f"rules {self.rules!r} must be 'lvis' or 'coco'")
        threshold_index(self.iou)


@dataclass(frozen=True)
class Observations:
    """Scored results and what became of them.

    Attributes:
        category: int64 (N,), category ids.
        score: float64 (N,).
        matched: bool (N,), whether the result found an object.
    """

    category: np.ndarray
    score: np.ndarray
    matched: np.ndarray

    def by_category(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Category id, scores and labels of each category with results, ascending."""
        order = np.argsort(self.category, kind='stable')
        names, first = np.unique(self.category[order], return_index=True)
        for name, part in zip(names, np.split(order, first[1:]), strict=False):
            yield int(name), self.score[part], self.matched[part]


def threshold_index(iou: float) -> int:
    """Position of an IoU threshold among 0.50, 0.55, ..., 0.95.

    Raises:
        ValueError: It is none of them.
    """
    near = np.flatnonzero(np.isclose(IOU_THRESHOLDS, iou, rtol=0, atol=1e-9))
    if not len(near):
        raise ValueError(f'IoU threshold {iou} must be one of 0.50, 0.55, ..., 0.95')
    return int(near[0])


def observe(
    matches: 'Matches',
    ground_truth: 'GroundTruth',
    options: MatchingOptions,
) -> Observations:
    """Observations of a matching: area "all", the best results of each category, no image cap.

    Args:
        matches: Outcome of the engine's matching.
        ground_truth: The annotations it was made with.
        options: What counts as matched and which results take part; its ``iou_type`` and
            ``rules`` must be those of the matching.
    """
    bit = np.uint16(1 << threshold_index(options.iou))
    matched = (matches.tp[0] & bit) != 0
    keep = np.ones(len(matched), dtype=bool)
    if not options.count_not_exhaustive:
        keep &= (matches.ignored[0] & bit) == 0
    if options.dets_per_class >= 0:
        keep &= matches.category_rank < options.dets_per_class
    category = ground_truth.category_ids[matches.category[keep]]
    return Observations(category.astype(np.int64), matches.score[keep], matched[keep])
