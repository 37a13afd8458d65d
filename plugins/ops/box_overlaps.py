"""Overlap of axis-aligned boxes."""

import torch
from torch import Tensor

from plugins.ops.precision import widened


@torch.no_grad()
def bbox_overlaps(
    boxes1: Tensor,
    boxes2: Tensor,
    ious: Tensor,
    mode: int = 0,
    aligned: bool = False,
    offset: int = 0,
) -> None:
    """Overlap of two sets of boxes x1, y1, x2, y2; carries no gradient, like the compiled op.

    Args:
        boxes1: Real (M, 4), pixels.
        boxes2: Real (N, 4); N = M where aligned.
        ious: Filled: float (M, N), or (M,) where aligned, in [0, 1].
        mode: 0 intersection over union, 1 intersection over the area of the first box.
        aligned: Compare row i with row i only.
        offset: 0 or 1, added to the sides of a box and the smallest denominator; with 0 two
            boxes without area give NaN.
    """
    boxes1, boxes2 = widened(boxes1, boxes2)
    if not aligned:
        boxes1, boxes2 = boxes1[:, None], boxes2[None]
    area1, area2 = (_area(boxes, offset) for boxes in (boxes1, boxes2))
    corner_min = torch.maximum(boxes1[..., :2], boxes2[..., :2])
    corner_max = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])
    intersection = (corner_max - corner_min + offset).clamp(min=0).prod(dim=-1)
    base = area1 if mode == 1 else area1 + area2 - intersection
    ious.copy_(intersection / base.clamp(min=offset))


def _area(boxes: Tensor, offset: int) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2] + offset).prod(dim=-1)
