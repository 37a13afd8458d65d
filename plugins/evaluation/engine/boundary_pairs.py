"""Boundary IoU of the pairs whose masks overlap enough.

Boundary AP matches by the smaller one of mask IoU and boundary IoU, so pairs with less mask IoU
than the lowest threshold need no boundary.
"""

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.boundary import boundary_overlap
from plugins.evaluation.engine.erosion import erode, erosion_buffers
from plugins.evaluation.engine.groups import Groups
from plugins.evaluation.engine.mask_pairs import Masks, Shapes, total
from plugins.evaluation.engine.pairs import GroupArrays, Pairs


def lower_to_boundary_iou(
    low: int,
    high: int,
    groups: Groups,
    masks: Masks,
    radius: np.ndarray,
    pairs: Pairs,
    shapes: Shapes,
) -> Pairs:
    """Replace mask IoU by the smaller one of mask IoU and boundary IoU.

    Args:
        low: First group.
        high: Group after the last one.
        groups: All groups.
        masks: Masks of all annotations.
        radius: int64 (I,), width of the boundary in the images, pixels.
        pairs: Pairs of these groups with their mask IoU.
        shapes: Masks of the results that have pairs.
    """
    images = groups.image[low:high]
    if not len(images):
        return pairs
    core, scratch = erosion_buffers(masks.height[images], masks.width[images], radius[images])
    iou = np.empty_like(pairs.iou)
    _lower(low, high, GroupArrays.of(groups), masks, radius, *core, scratch, *pairs, *shapes, iou)
    return pairs._replace(iou=iou)


@compiled
def _lower(
    low, high, groups, masks, radius, core_start, core_end, scratch,
    count, annotation, iou, commons, starts, ends, lengths, lowered,
):  # fmt: skip
    base = groups.offset[low]
    # Eroded annotations of one group, one behind the other.
    room = len(core_start)
    cores_start, cores_end = np.empty(2 * room, np.int32), np.empty(2 * room, np.int32)
    most = 0
    for group in range(low, high):
        most = max(most, groups.ann_offset[group + 1] - groups.ann_offset[group])
    core_at, core_count = np.empty(most, np.int64), np.empty(most, np.int64)
    at = 0
    shape = 0
    for group in range(low, high):
        first = groups.ann_offset[group]
        core_count[: groups.ann_offset[group + 1] - first] = -1
        used = 0
        image = groups.image[group]
        height, width, distance = masks.height[image], masks.width[image], radius[image]
        for place in range(groups.offset[group], groups.offset[group + 1]):
            candidates = count[place - base]
            if candidates == 0:
                continue
            n = lengths[place - base]
            start, end = starts[shape : shape + n], ends[shape : shape + n]
            shape += n
            core_n = erode(start, end, n, height, width, distance, core_start, core_end, scratch)
            for pair in range(at, at + candidates):
                ann = groups.annotation[annotation[pair]]
                k = annotation[pair] - first
                a, b = masks.offset[ann], masks.offset[ann + 1]
                if core_count[k] < 0:
                    if used + room > len(cores_start):
                        cores_start = np.concatenate((cores_start, cores_start))
                        cores_end = np.concatenate((cores_end, cores_end))
                    core_at[k] = used
                    core_count[k] = erode(
                        masks.start[a:b], masks.end[a:b], b - a, height, width, distance,
                        cores_start[used:], cores_end[used:], scratch,
                    )  # fmt: skip
                    used += core_count[k]
                # Where nothing is left of either, the boundaries are the masks. In crowd regions
                # the reference compares masks only.
                lowered[pair] = iou[pair]
                if (core_n > 0 or core_count[k] > 0) and not masks.crowd[ann]:
                    c = core_at[k]
                    value = _boundary_iou(
                        start, end, n, core_start, core_end, core_n,
                        masks.start[a:b], masks.end[a:b], b - a,
                        cores_start[c:], cores_end[c:], core_count[k], commons[pair],
                    )  # fmt: skip
                    lowered[pair] = min(iou[pair], value)
            at += candidates


@compiled
def _boundary_iou(
    start, end, n, core_start, core_end, core_n,
    ann_start, ann_end, ann_n, ann_core_start, ann_core_end, ann_core_n, common,
):  # fmt: skip
    shared = boundary_overlap(
        start, end, n, core_start, core_end, core_n,
        ann_start, ann_end, ann_n, ann_core_start, ann_core_end, ann_core_n, common,
    )  # fmt: skip
    ones = total(start, end, n) - total(core_start, core_end, core_n)
    others = total(ann_start, ann_end, ann_n) - total(ann_core_start, ann_core_end, ann_core_n)
    return shared / (ones + others - shared)
