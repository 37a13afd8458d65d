"""Compiled loops of class-wise suppression: candidates by falling score, each with a label.

IoUs are computed in float32 in the order of torchvision's and mmcv's C++, on the coordinates as
they are: boxes of different classes are never compared, so no offset has to keep them apart.
"""

import numpy as np

from plugins.compilation import compiled

NAIVE, LINEAR, GAUSSIAN = 0, 1, 2
"""How Soft-NMS lowers the score of an overlapping box."""

_ZERO, _ONE = np.float32(0), np.float32(1)


@compiled
def _iou(first, second):
    width = max(_ZERO, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(_ZERO, min(first[3], second[3]) - max(first[1], second[1]))
    overlap = width * height
    if overlap == 0:
        return _ZERO  # also for two boxes without area, where C++ has NaN: not above anything
    area = (first[2] - first[0]) * (first[3] - first[1])
    other_area = (second[2] - second[0]) * (second[3] - second[1])
    return overlap / (area + other_area - overlap)


@compiled
def _is_finite(box):
    return (
        np.isfinite(box[0]) and np.isfinite(box[1]) and np.isfinite(box[2]) and np.isfinite(box[3])
    )


@compiled
def keep_best(boxes, labels, num_labels, iou_threshold, limit):
    """NMS of every class by itself, until enough boxes are kept.

    Args:
        boxes: float32 (M, 4), xyxy in pixels, by falling score; what is not finite is left out.
        labels: int64 (M,), in [0, num_labels).
        num_labels: Number of classes.
        iou_threshold: float64; a box at exactly this IoU with a better one is kept.
        limit: The number to stop at.

    Returns:
        int64 (K,) with K <= limit, rows of the kept boxes, rising.
    """
    kept = np.empty(min(limit, boxes.shape[0]), np.int64)
    # Kept boxes of a class are a chain: the latest one, and for each the one before.
    latest = np.full(num_labels, -1, np.int64)
    before = np.empty_like(kept)
    count = 0
    for i in range(boxes.shape[0]):
        if count == kept.shape[0]:
            break
        if not _is_finite(boxes[i]):
            continue
        other = latest[labels[i]]
        while other >= 0 and not np.float64(_iou(boxes[kept[other]], boxes[i])) > iou_threshold:
            other = before[other]
        if other < 0:
            kept[count] = i
            before[count] = latest[labels[i]]
            latest[labels[i]] = count
            count += 1
    return kept[:count].copy()


@compiled
def lower_scores(boxes, scores, order, starts, iou_threshold, sigma, min_score, method, limit):
    """Soft-NMS (Bodla et al. 2017) of every class by itself; of equal scores the first is better.

    Args:
        boxes: float32 (M, 4), xyxy in pixels, all of them finite.
        scores: float32 (M,), falling; on return the lowered ones.
        order: int64 (M,), the rows class after class, rising within a class.
        starts: int64 (classes + 1,), where in ``order`` each class begins, and M.
        iou_threshold: float32, methods 0 and 1 act at this IoU or above.
        sigma: float32, width of method 2, exp(-IoU^2 / sigma).
        min_score: float32; a box whose lowered score is below it is dropped, but for the best
            one of its class, as in mmcv.
        method: NAIVE (score 0), LINEAR (score times 1 - IoU) or GAUSSIAN.
        limit: How many of a class can matter.

    Returns:
        bool (M,), which boxes are kept.
    """
    kept = np.zeros(boxes.shape[0], np.bool_)
    for group in range(starts.shape[0] - 1):
        left = order[starts[group] : starts[group + 1]].copy()
        count = left.shape[0]
        selected = 0
        while count > 0 and selected < limit:
            place = 0
            for i in range(1, count):
                if scores[left[i]] > scores[left[place]]:
                    place = i
            best = left[place]
            kept[best] = True
            selected += 1
            remaining = 0
            for i in range(count):
                other = left[i]
                if i == place:
                    continue
                scores[other] *= _factor(
                    _iou(boxes[best], boxes[other]), iou_threshold, sigma, method
                )
                if not scores[other] < min_score:
                    left[remaining] = other
                    remaining += 1
            count = remaining
    return kept


@compiled
def _factor(iou, iou_threshold, sigma, method):
    if method == GAUSSIAN:
        return np.exp(-(iou * iou) / sigma)
    if not iou >= iou_threshold:
        return _ONE
    return _ONE - iou if method == LINEAR else _ZERO
