"""Compiled loops of the suppression that depends on its own earlier decisions.

One tensor operation per kept box costs 17 to 475 times as much as these loops. They release the
interpreter lock and compute in the type of the boxes, so float32 rounds as in C++.
"""

from collections.abc import Callable

import numba
import numpy as np


def compiled(function: Callable) -> Callable:
    """The function as machine code, kept on disk between processes where that is possible."""
    # error_model: a box without area has IoU 0 / 0, which must be NaN as in C++, no exception.
    options = {'nogil': True, 'error_model': 'numpy'}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # Neither this folder nor the user's cache folder can be written.
        return numba.njit(**options)(function)


@compiled
def _iou(first, second, offset):
    zero = first.dtype.type(0)
    width = min(first[2], second[2]) - max(first[0], second[0]) + offset
    height = min(first[3], second[3]) - max(first[1], second[1]) + offset
    overlap = max(zero, width) * max(zero, height)
    first_area = (first[2] - first[0] + offset) * (first[3] - first[1] + offset)
    second_area = (second[2] - second[0] + offset) * (second[3] - second[1] + offset)
    return overlap / (first_area + second_area - overlap)


@compiled
def _decay(iou, iou_threshold, sigma, method, zero, one):
    if method == 2:
        return np.exp(-(iou * iou) / sigma)
    if not iou >= iou_threshold:
        return one
    return one - iou if method == 1 else zero


@compiled
def soft_suppress(dets, iou_threshold, sigma, min_score, offset, method):
    """Soft-NMS in place, see :func:`plugins.ops.nms.softnms`.

    Args:
        dets: float (N, 5), boxes and scores; on return its first K rows are the kept ones in
            the order of selection, with decayed scores, the rest is rubbish.
        iou_threshold: In the type of ``dets``, like the next three.
        sigma: Width of the Gaussian.
        min_score: Smallest score that is kept; the best box is always kept.
        offset: Added to the sides of a box.
        method: 0 naive, 1 linear, 2 Gaussian.

    Returns:
        int64 (K,), input rows of the kept ones.
    """
    zero, one = dets.dtype.type(0), dets.dtype.type(1)
    index = np.arange(dets.shape[0])
    count = dets.shape[0]
    place = 0
    while place < count:
        best = place
        for other in range(place + 1, count):
            if dets[other, 4] > dets[best, 4]:
                best = other
        for column in range(5):
            dets[place, column], dets[best, column] = dets[best, column], dets[place, column]
        index[place], index[best] = index[best], index[place]
        other = place + 1
        while other < count:
            iou = _iou(dets[place], dets[other], offset)
            dets[other, 4] *= _decay(iou, iou_threshold, sigma, method, zero, one)
            if dets[other, 4] < min_score:
                # The last candidate takes the freed row and is looked at next.
                count -= 1
                dets[other] = dets[count]
                index[other] = index[count]
            else:
                other += 1
        place += 1
    return index[:count].copy()


@compiled
def match_to_best(boxes, iou_threshold):
    """For each box the first box of the list that survives NMS and overlaps it enough.

    Args:
        boxes: float (N, 4), by falling score.
        iou_threshold: In the type of ``boxes``; matches at or above.

    Returns:
        int64 (N,), row of the survivor; a survivor's own row.
    """
    no_offset = boxes.dtype.type(0)
    leader = np.full(boxes.shape[0], -1, np.int64)
    for best in range(boxes.shape[0]):
        if leader[best] >= 0:
            continue
        leader[best] = best
        for other in range(best + 1, boxes.shape[0]):
            if leader[other] >= 0:
                continue
            if _iou(boxes[best], boxes[other], no_offset) >= iou_threshold:
                leader[other] = best
    return leader
