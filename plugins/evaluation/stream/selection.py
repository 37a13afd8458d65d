"""Which detections the protocols need: the best of every image, and of every class of the set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plugins.evaluation.engine import Request
from plugins.evaluation.stream.class_budget import ClassBudget
from plugins.evaluation.stream.image_record import ImageRecord


@dataclass(frozen=True, slots=True)
class Needs:
    """What must survive so that no number changes.

    Attributes:
        per_class: The best so many of every class over all images (AP_fixed, AP_pool).
        per_image: The best so many of every image (AP_old).
        each_category: ``per_image`` counts each category on its own, as COCO does. It contains
            the best of any group of categories, which the AP of a subset needs.
        ranks_boxes, ranks_masks: Boxes, masks or both are ranked; where the model scores its masks,
            those have an order of their own.
    """

    per_class: int
    per_image: int
    each_category: bool
    ranks_boxes: bool
    ranks_masks: bool


def needs_of(request: Request) -> Needs | None:
    """What the protocols of a request need, or None if that is everything."""
    caps = (*request.max_dets, *request.dets_per_class)
    if not request.dets_per_class or min(caps) < 0:
        return None
    return Needs(
        per_class=max(request.dets_per_class),
        per_image=max(request.max_dets, default=0),
        each_category=request.rules.cap_per_category or bool(request.subsets),
        ranks_boxes='bbox' in request.iou_types,
        ranks_masks=set(request.iou_types) != {'bbox'},
    )


class Selection:
    """Decides while testing which detections can still matter.

    Args:
        needs: What must survive.
        num_classes: How many classes to expect.
    """

    def __init__(self, needs: Needs, num_classes: int = 0) -> None:
        self._needs = needs
        self._num_classes = num_classes
        self._budgets: dict[str, ClassBudget] = {}
        self._num_per_image = 0

    def __len__(self) -> int:
        """No more than so many of the detections that were offered matter."""
        return self._num_per_image + sum(map(len, self._budgets.values()))

    def offer(self, record: ImageRecord) -> np.ndarray:
        """Let the detections of an image compete; an image is offered once.

        Returns:
            bool (N,), False for those that cannot matter any more.
        """
        if not self._budgets and len(record):
            self._budgets = self._make_budgets(has_mask_scores=record.mask_scores is not None)
        for key, budget in self._budgets.items():
            budget.offer(_scores(record, key), record.labels, record.img_id)
        keep, num_per_image = self._needed(record)
        self._num_per_image += num_per_image
        return keep

    def keep(self, record: ImageRecord) -> np.ndarray:
        """Which detections still matter of an image that was offered, bool (N,).

        When every image has been offered: those that matter.
        """
        return self._needed(record)[0]

    def _make_budgets(self, *, has_mask_scores: bool) -> dict[str, ClassBudget]:
        """One budget for every score that detections are ranked by."""
        is_used = dict(scores=True)
        if has_mask_scores:
            is_used = dict(scores=self._needs.ranks_boxes, mask_scores=self._needs.ranks_masks)
        return {
            key: ClassBudget(self._needs.per_class, self._num_classes)
            for key, is_wanted in is_used.items()
            if is_wanted
        }

    def _needed(self, record: ImageRecord) -> tuple[np.ndarray, int]:
        best = np.zeros(len(record), bool)
        for key in self._budgets:
            groups = record.labels if self._needs.each_category else None
            best |= _best(_scores(record, key), self._needs.per_image, groups)
        keep = best.copy()
        for key, budget in self._budgets.items():
            keep |= budget.holds(_scores(record, key), record.labels, record.img_id)
        return keep, int(best.sum())


def _scores(record: ImageRecord, key: str) -> np.ndarray:
    values = getattr(record, key)
    return record.scores if values is None else values


def _best(scores: np.ndarray, cap: int, groups: Sequence[int] | None) -> np.ndarray:
    """The best of an image (or of each group of it), the earlier one of equal scores; bool (N,)."""
    chosen = np.zeros(len(scores), bool)
    order = np.argsort(-np.asarray(scores, np.float64), kind='stable')
    if groups is None:
        chosen[order[:cap]] = True
        return chosen
    by_group = order[np.argsort(np.asarray(groups)[order], kind='stable')]
    sorted_groups = np.asarray(groups)[by_group]
    place = np.arange(len(scores)) - np.searchsorted(sorted_groups, sorted_groups)
    chosen[by_group[place < cap]] = True
    return chosen
