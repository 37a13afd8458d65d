"""Boxes that overlap, and suppression as its definition says: one pair after the other."""

import numpy as np
import torch
from torch import Tensor

LOWERING = dict(
    naive=lambda iou, threshold, sigma: 0 if iou >= threshold else 1,
    linear=lambda iou, threshold, sigma: np.float32(1) - iou if iou >= threshold else 1,
    gaussian=lambda iou, threshold, sigma: np.exp(-(iou * iou) / np.float32(sigma)),
)


def crowd(num_boxes: int, *, seed: int = 0, extent: int = 200) -> Tensor:
    """Boxes around a few centres, float32 (N, 4); coordinates are eighths of a pixel."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform(0, extent, (12, 2))[rng.integers(12, size=num_boxes)]
    middle += rng.normal(0, 6, (num_boxes, 2))
    side = rng.uniform(10, 60, (num_boxes, 2))
    boxes = np.concatenate([middle - side / 2, middle + side / 2], axis=1)
    return torch.from_numpy(np.round(boxes * 8) / 8).float()


def iou(first: np.ndarray, second: np.ndarray) -> np.float32:
    """IoU of two boxes in float32, 0 where it is 0 / 0."""
    size = np.maximum(np.minimum(first, second)[2:] - np.maximum(first, second)[:2], 0)
    overlap = size[0] * size[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return overlap / (areas[0] + areas[1] - overlap) if overlap else np.float32(0)


def naive_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[tuple[int, float]]:
    """Rows and scores of what NMS keeps of one class."""
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if all(not iou(boxes[j], boxes[i]) > threshold for j, _ in kept):
            kept.append((int(i), scores[i]))
    return kept


def naive_soft_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
    method: str,
    sigma: float = 0.5,
    min_score: float = 1e-3,
) -> list[tuple[int, float]]:
    """Rows and lowered scores of what Soft-NMS keeps of one class."""
    scores, threshold = scores.copy(), np.float32(threshold)
    left, kept = list(np.argsort(-scores, kind='stable')), []
    while left:
        best = max(left, key=lambda i: scores[i])  # the first of equal ones
        left.remove(best)
        kept.append((int(best), scores[best]))
        for i in left:
            scores[i] *= LOWERING[method](iou(boxes[best], boxes[i]), threshold, sigma)
        left = [i for i in left if not scores[i] < np.float32(min_score)]
    return kept


def naive_classwise(boxes, scores, suppress, score_thr, max_per_img) -> list[tuple]:
    """Row, label and score of the best detections; all of them if ``max_per_img`` is below 1.

    Args:
        boxes: Float (R, 4) or (R, C * 4).
        scores: Float (R, C).
        suppress: Function of the boxes and scores of a class.
        score_thr: Float (C,).
        max_per_img: Detections to keep.
    """
    rows, classes = scores.shape
    boxes = boxes.reshape(rows, boxes.shape[1] // 4, 4).expand(rows, classes, 4).numpy()
    scores, found = scores.numpy(), []
    for label in range(classes):
        finite = np.isfinite(boxes[:, label]).all(1) & np.isfinite(scores[:, label])
        above = np.flatnonzero(finite & (scores[:, label] > np.float32(score_thr[label])))
        for place, score in suppress(boxes[above, label], scores[above, label]):
            row = int(above[place])
            found.append((-score, -scores[row, label], row, label))
    found = [(row, label, -score) for score, _, row, label in sorted(found)]
    return found[:max_per_img] if max_per_img > 0 else found
