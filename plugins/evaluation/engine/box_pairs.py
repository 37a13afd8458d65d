"""Pairs of results and annotations whose boxes overlap enough to match."""

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.codes import BROKEN, decode, extent
from plugins.evaluation.engine.groups import Groups
from plugins.evaluation.engine.mask_pairs import total
from plugins.evaluation.engine.pairs import GroupArrays, Pairs


def find_box_pairs(
    low: int,
    high: int,
    groups: Groups,
    result_boxes: np.ndarray,
    ann_boxes: np.ndarray,
    crowd: np.ndarray,
    lowest: float,
) -> Pairs:
    """Compare the boxes of the groups from ``low`` to ``high``.

    Args:
        low: First group.
        high: Group after the last one.
        groups: All groups.
        result_boxes: float64 (N, 4), x, y, width, height in pixels, continuous.
        ann_boxes: float64 (G, 4), in the same form.
        crowd: bool (G,), regions whose IoU is the intersection over the result's area.
        lowest: Least IoU of a pair, above 0.
    """
    pairs = Pairs.room_for(groups, low, high, masks=False)
    _find(low, high, GroupArrays.of(groups), result_boxes, ann_boxes, crowd, lowest, *pairs[:3])
    return pairs


@compiled
def _find(low, high, groups, boxes, ann_boxes, crowd, lowest, count, annotation, iou):
    base = groups.offset[low]
    found = 0
    for group in range(low, high):
        first, last = groups.ann_offset[group], groups.ann_offset[group + 1]
        for place in range(groups.offset[group], groups.offset[group + 1]):
            before = found
            for k in range(first, last):
                ann = groups.annotation[k]
                value = _box_iou(boxes, groups.detection[place], ann_boxes, ann, crowd[ann])
                if value >= lowest:
                    annotation[found] = k
                    iou[found] = value
                    found += 1
            count[place - base] = found - before
    return found


@compiled
def _box_iou(boxes, i, others, j, is_crowd):
    width = min(boxes[i, 2] + boxes[i, 0], others[j, 2] + others[j, 0])
    width -= max(boxes[i, 0], others[j, 0])
    height = min(boxes[i, 3] + boxes[i, 1], others[j, 3] + others[j, 1])
    height -= max(boxes[i, 1], others[j, 1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    area = boxes[i, 2] * boxes[i, 3]
    return common / (area if is_crowd else area + others[j, 2] * others[j, 3] - common)


@compiled
def boxes_of_masks(codes, start, end, boxes, area):
    """Write the smallest box around each mask, float64 (N, 4), and its pixels, float64 (N,).

    Boxes are x, y, width, height; that of an empty mask is 0, 0, 0, 0. Returns a status for
    `require_complete`.
    """
    edges = np.empty(4, np.int32)
    for result in range(len(boxes)):
        n = decode(codes, result, start, end)
        if n < 0:
            return BROKEN - result
        area[result] = total(start, end, n)
        if n == 0:
            boxes[result] = 0
            continue
        extent(start, end, n, codes.height[result], edges)
        boxes[result, 0] = edges[0]
        boxes[result, 1] = edges[2]
        boxes[result, 2] = edges[1] - edges[0] + 1
        boxes[result, 3] = edges[3] - edges[2] + 1
    return 0
