"""Pairs of results and annotations whose masks overlap enough to match."""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.boundary import overlap
from plugins.evaluation.engine.codes import (
    BROKEN,
    Codes,
    decode,
    extent,
    most_intervals,
    pixels,
)
from plugins.evaluation.engine.groups import Groups
from plugins.evaluation.engine.pairs import GroupArrays, Pairs
from plugins.evaluation.engine.records import GroundTruth, ResultsError


class Masks(NamedTuple):
    """Masks of G annotations.

    Attributes:
        offset: int64 (G + 1,).
        start, end: int32, intervals as in `GroundTruth`.
        pixels: int64 (G,).
        box: int32 (G, 4), first and last column, first and last row.
        crowd: bool (G,), a region whose IoU is the intersection over the result's pixels.
        height, width: int32 (I,), of the images.
    """

    offset: np.ndarray
    start: np.ndarray
    end: np.ndarray
    pixels: np.ndarray
    box: np.ndarray
    crowd: np.ndarray
    height: np.ndarray
    width: np.ndarray


def masks_of(ground_truth: GroundTruth, crowd: np.ndarray) -> Masks:
    """Measure the masks of all annotations; ``crowd`` is bool (G,).

    Raises:
        ResultsError: The ground truth was read without masks.
    """
    if not ground_truth.has_masks:
        raise ResultsError(f'{ground_truth.source}: read without masks, only boxes can be compared')
    masks = Masks(
        np.ascontiguousarray(ground_truth.mask_offset, np.int64),
        np.require(ground_truth.mask_start, np.int32, ['C', 'W']),
        np.require(ground_truth.mask_end, np.int32, ['C', 'W']),
        np.empty(len(ground_truth.ann_id), np.int64),
        np.empty((len(ground_truth.ann_id), 4), np.int32),
        crowd,
        np.ascontiguousarray(ground_truth.height, np.int32),
        np.ascontiguousarray(ground_truth.width, np.int32),
    )
    _measure(masks, np.ascontiguousarray(ground_truth.ann_image, np.int32))
    return masks


class Shapes(NamedTuple):
    """Intervals of the results that have candidates, one mask behind the other, in order.

    Attributes:
        start, end: int32; only the first ones are filled.
        count: int32 (s,), intervals of each result of the range; 0 without candidates.
    """

    start: np.ndarray
    end: np.ndarray
    count: np.ndarray


def find_mask_pairs(
    low: int,
    high: int,
    groups: Groups,
    codes: Codes,
    masks: Masks,
    area: np.ndarray | None,
    lowest: float,
) -> tuple[Pairs, Shapes, int]:
    """Compare the masks of the groups from ``low`` to ``high``.

    Args:
        low: First group.
        high: Group after the last one.
        groups: All groups.
        codes: Masks of all results.
        masks: Masks of all annotations.
        area: float64 (S,), receives the pixels of the results of these groups; None if their
            areas are known.
        lowest: Least IoU of a pair.

    Returns:
        The pairs, the masks of their results, and a status for `require_complete`.
    """
    pairs = Pairs.room_for(groups, low, high, masks=True)
    lengths = np.empty_like(pairs.count)
    wanted = area is not None
    status, start, end = _find(
        low, high, GroupArrays.of(groups), codes, masks, most_intervals(codes), wanted,
        area if wanted else np.empty(0), lowest, *pairs, lengths,
    )  # fmt: skip
    return pairs, Shapes(start, end, lengths), status


@compiled
def _measure(masks, image):
    for ann in range(len(image)):
        first, last = masks.offset[ann], masks.offset[ann + 1]
        start, end = masks.start[first:last], masks.end[first:last]
        masks.pixels[ann] = total(start, end, last - first)
        extent(start, end, last - first, masks.height[image[ann]], masks.box[ann])


@compiled
def total(start, end, n):
    """Pixels of ``n`` intervals."""
    count = 0
    for i in range(n):
        count += end[i] - start[i]
    return count


@compiled
def _find(
    low, high, groups, codes, masks, room, wanted, area, lowest, count, annotation, iou, commons,
    lengths,
):  # fmt: skip
    box = np.empty(4, np.int32)
    boxes, sizes, crowd = masks.box, masks.pixels, masks.crowd
    # Each mask is decoded behind those that are kept.
    starts, ends = np.empty(2 * room, np.int32), np.empty(2 * room, np.int32)
    used = 0
    base = groups.offset[low]
    found = 0
    for group in range(low, high):
        first, last = groups.ann_offset[group], groups.ann_offset[group + 1]
        image = groups.image[group]
        for place in range(groups.offset[group], groups.offset[group + 1]):
            result = groups.detection[place]
            count[place - base] = lengths[place - base] = 0
            if first == last:
                # Of a wrong category only the size matters.
                ones = pixels(codes, result) if wanted else 0
                if ones < 0:
                    return BROKEN - result, starts, ends
                if wanted:
                    area[place] = ones
                continue
            if used + room > len(starts):
                starts, ends = np.concatenate((starts, starts)), np.concatenate((ends, ends))
            start, end = starts[used:], ends[used:]
            n = decode(codes, result, start, end)
            if n < 0:
                return BROKEN - result, starts, ends
            ones = total(start, end, n)
            if wanted:
                area[place] = ones
            # Masks of different sizes never match.
            if codes.height[result] != masks.height[image]:
                continue
            if codes.width[result] != masks.width[image]:
                continue
            extent(start, end, n, masks.height[image], box)
            before = found
            for k in range(first, last):
                ann = groups.annotation[k]
                # Most pairs end here, so nothing is called that takes references to arrays.
                columns = min(box[1], boxes[ann, 1]) - max(box[0], boxes[ann, 0]) + 1
                rows = min(box[3], boxes[ann, 3]) - max(box[2], boxes[ann, 2]) + 1
                if columns <= 0 or rows <= 0:
                    continue
                most = min(min(ones, sizes[ann]), np.int64(columns) * rows)
                union = ones if crowd[ann] else ones + sizes[ann] - most
                if most / union < lowest:
                    continue
                common = _common_pixels(start, end, n, masks, ann)
                value = common / (ones if crowd[ann] else ones + sizes[ann] - common)
                if value >= lowest:
                    annotation[found] = k
                    iou[found] = value
                    commons[found] = common
                    found += 1
            if found > before:
                count[place - base] = found - before
                lengths[place - base] = n
                used += n
    return found, starts, ends


@compiled
def _common_pixels(start, end, n, masks, ann):
    first, last = masks.offset[ann], masks.offset[ann + 1]
    i = first_after(end, 0, n, masks.start[first])
    j = first_after(masks.end, first, last, start[0])
    return overlap(start[i:], end[i:], n - i, masks.start[j:], masks.end[j:], last - j)


@compiled
def first_after(end, low, high, pixel):
    """The first of the intervals from ``low`` to ``high`` that ends after a pixel."""
    while low < high:
        middle = (low + high) // 2
        if end[middle] > pixel:
            high = middle
        else:
            low = middle + 1
    return low
