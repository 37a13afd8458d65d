"""Greedy suppression of overlapping boxes: NMS, Soft-NMS, and NMS that remembers its matches.

Boxes are x1, y1, x2, y2; a side is x2 - x1 + offset, where offset 1 is the pixel-counting
convention of old code. NMS suppresses above the threshold, the other two at or above it, as in
mmcv's compiled module. Equal scores are taken in input order.
"""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from plugins.ops.precision import widened


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Indices of the boxes that no better box overlaps by more than the threshold.

    Args:
        boxes: Real (N, 4), pixels.
        scores: Real (N,).
        iou_threshold: In [0, 1]; a box at exactly this IoU is kept.
        offset: 0 or 1, added to both sides of a box.

    Returns:
        int64 (K,), best score first, on the device of ``boxes``.
    """
    if boxes.numel() == 0:
        return boxes.new_empty(0, dtype=torch.long)
    boxes, scores = widened(boxes, scores)
    if offset:
        # Moving the far corner gives the same sides and intersections as adding to each of them.
        boxes = torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)
    return torch.ops.torchvision.nms(boxes, scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int = 0,
) -> Tensor:
    """Soft-NMS (Bodla et al., 2017): decay the scores of overlapping boxes, best box first.

    The loop is sequential and runs on the CPU; tensors elsewhere are moved there and back.

    Args:
        boxes: Real (N, 4), pixels.
        scores: Real (N,).
        dets: Filled: float (N, 5), box and decayed score of the K kept boxes in its first rows.
        iou_threshold: Methods 0 and 1 act at this IoU or above.
        sigma: Width of method 2, exp(-IoU^2 / sigma).
        min_score: A decayed score below it removes the box.
        method: 0 naive (score 0), 1 linear (score times 1 - IoU), 2 Gaussian.
        offset: 0 or 1, added to both sides of a box.

    Returns:
        int64 (K,), indices of the kept boxes in the order of selection.
    """
    # numba takes a moment to import, and only Soft-NMS users should pay for it.
    from plugins.ops.suppression_loops import soft_suppress

    work = torch.cat(widened(boxes.reshape(-1, 4), scores.reshape(-1, 1)), dim=1)
    work = work.detach().cpu().contiguous().clone().numpy()
    limits = [work.dtype.type(value) for value in (iou_threshold, sigma, min_score, offset)]
    kept = soft_suppress(work, *limits, method)
    dets[: len(kept)] = torch.from_numpy(work[: len(kept)]).to(dets)
    return torch.from_numpy(kept).to(boxes.device)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """NMS that returns, for each kept box, the boxes it suppressed.

    Args:
        dets: Real (N, 5), boxes in pixels and their scores.
        iou_threshold: A box at this IoU or above joins the group of the better box.

    Returns:
        One list per kept box, best score first: its index, then its matches by falling score.
    """
    from plugins.ops.suppression_loops import match_to_best

    (dets,) = widened(dets.detach().cpu())
    order = dets[:, 4].argsort(descending=True, stable=True)
    boxes = dets[order, :4].contiguous().numpy()
    leaders = match_to_best(boxes, boxes.dtype.type(iou_threshold)).tolist()
    groups: dict[int, list[int]] = {}
    for leader, index in zip(leaders, order.tolist(), strict=True):
        groups.setdefault(leader, []).append(index)
    return list(groups.values())
