"""Greedy matching of one group: all IoU thresholds and area ranges at once, as bit masks."""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.groups import Groups
from plugins.evaluation.engine.pairs import GroupArrays, Pairs
from plugins.evaluation.engine.records import AREA_LIMITS, IOU_THRESHOLDS

_EVERY_THRESHOLD = (1 << len(IOU_THRESHOLDS)) - 1
_EVERY_AREA = (1 << len(AREA_LIMITS)) - 1


class Decisions(NamedTuple):
    """What became of the S results of all groups; bit t stands for IoU threshold t.

    Attributes:
        tp: uint16 (A, S), matched an annotation that counts, per area range.
        ignored: uint16 (A, S), matched one that does not, or unmatched and of no concern.
        pair: int32 (S,), the annotation matched at one chosen threshold whatever its area, else
            -1; empty unless wanted.
    """

    tp: np.ndarray
    ignored: np.ndarray
    pair: np.ndarray

    @classmethod
    def room_for(cls, n: int, with_pair: bool) -> 'Decisions':
        """Memory for ``n`` results."""
        return cls(
            np.empty((len(AREA_LIMITS), n), np.uint16),
            np.empty((len(AREA_LIMITS), n), np.uint16),
            np.full(n if with_pair else 0, -1, np.int32),
        )


def outside_areas(area: np.ndarray, upper_inclusive: bool) -> np.ndarray:
    """Area ranges that an area does not belong to, as bits.

    Args:
        area: float64 (S,), pixels.
        upper_inclusive: Whether an area equal to the upper end of a range belongs to it.

    Returns:
        uint8 (S,), bit a set for range a.
    """
    outside = np.zeros(len(area), np.uint8)
    for bit, (lower, upper) in enumerate(AREA_LIMITS):
        beyond = area > upper if upper_inclusive else area >= upper
        outside |= ((area < lower) | beyond).astype(np.uint8) << bit
    return outside


def ignored_annotations(outside: np.ndarray, is_ignored: np.ndarray) -> np.ndarray:
    """Area ranges in which annotations are ignored, as bits; uint8 (G,)."""
    return np.where(is_ignored, np.uint8(_EVERY_AREA), outside)


def assign(
    low: int,
    high: int,
    groups: Groups,
    pairs: Pairs,
    outside: np.ndarray,
    takes_part: np.ndarray,
    ann_ignored: np.ndarray,
    crowd: np.ndarray,
    decisions: Decisions,
    pair_level: int,
) -> None:
    """Match the groups from ``low`` to ``high``.

    Results are visited by falling score. Each takes the free annotation with the highest IoU that
    reaches the threshold, among equal ones the later of the file; ignored annotations only if
    there is no other.

    Args:
        low: First group.
        high: Group after the last one.
        groups: All groups.
        pairs: Candidates of these groups.
        outside: uint8 (s,), of the results of these groups the area ranges they do not belong
            to, as bits.
        takes_part: bool (s,), the others match nothing.
        ann_ignored: uint8 (G,), area ranges in which the annotation is ignored, as bits.
        crowd: bool (G,), annotations that several results may match.
        decisions: Receives those of these groups.
        pair_level: Threshold at which the pairs are kept, as an index, or -1.
    """
    _assign(
        low, high, GroupArrays.of(groups), groups.not_exhaustive, *pairs[:3], outside, takes_part,
        ann_ignored, crowd, IOU_THRESHOLDS, pair_level, *decisions,
    )  # fmt: skip


@compiled
def _assign(
    low, high, groups, not_exhaustive, count, annotation, iou, outside, takes_part,
    ann_ignored, crowd, thresholds, pair_level, tp, ignored, pair,
):  # fmt: skip
    most = 0
    for group in range(low, high):
        most = max(most, groups.ann_offset[group + 1] - groups.ann_offset[group])
    taken = np.empty((most, len(tp)), np.int64)
    sorted_annotation, sorted_iou = np.empty(most, np.int64), np.empty(most)
    levels = np.empty(most, np.int64)
    base = groups.offset[low]
    at = 0
    for group in range(low, high):
        first = groups.ann_offset[group]
        taken[: groups.ann_offset[group + 1] - first] = 0
        for place in range(groups.offset[group], groups.offset[group + 1]):
            candidates = count[place - base] if takes_part[place - base] else 0
            for k in range(candidates):
                _insert(annotation[at + k], iou[at + k], k, sorted_annotation, sorted_iou)
            for k in range(candidates):
                levels[k] = _levels_reached(sorted_iou[k], thresholds)
            for area in range(len(tp)):
                hit, lost = 0, 0
                for is_ignored in range(2):
                    for k in range(candidates):
                        ann = groups.annotation[sorted_annotation[k]]
                        if (ann_ignored[ann] >> area) & 1 != is_ignored:
                            continue
                        local = sorted_annotation[k] - first
                        new = levels[k] & ~(hit | lost | taken[local, area])
                        if is_ignored:
                            lost |= new
                        else:
                            hit |= new
                        if not crowd[ann]:
                            taken[local, area] |= new
                        if area == 0 and pair_level >= 0 and (new >> pair_level) & 1:
                            pair[place] = ann
                if not_exhaustive[group] or (outside[place - base] >> area) & 1:
                    lost |= _EVERY_THRESHOLD & ~hit
                tp[area, place] = hit
                ignored[area, place] = lost
            at += count[place - base]


@compiled
def _insert(annotation, iou, n, annotations, ious):
    """Insert a candidate into ``n`` sorted ones: highest IoU first, among equals the later."""
    # Candidates come with the annotations ascending, so among equals the new one is the later.
    while n > 0 and iou >= ious[n - 1]:
        annotations[n], ious[n] = annotations[n - 1], ious[n - 1]
        n -= 1
    annotations[n], ious[n] = annotation, iou


@compiled
def _levels_reached(iou, thresholds):
    """Thresholds that an IoU reaches, as bits."""
    reached = 0
    while reached < len(thresholds) and iou >= thresholds[reached]:
        reached += 1
    return (1 << reached) - 1
