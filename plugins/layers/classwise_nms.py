"""Suppression of every class by itself, exactly as defined, at any score threshold.

Greedy suppression looks at better boxes only. So the best few candidates decide about the best
detections as all of them would, and when they do not yield enough, more are taken.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plugins.layers.suppression_kernels import GAUSSIAN, LINEAR, NAIVE, keep_best, lower_scores
from plugins.layers.top_scores import top_scores

SOFT_METHODS = dict(naive=NAIVE, linear=LINEAR, gaussian=GAUSSIAN)

GROWTH = 4
"""Candidates per detection at first, and how much more are taken where they do not suffice."""


class Detections(NamedTuple):
    """Boxes that were kept, best score first.

    Args:
        boxes: Real (K, 4), x1, y1, x2, y2 in pixels.
        scores: Real (K,).
        labels: int64 (K,).
        index: int64 (K,), the row of the input that each one comes from.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    index: Tensor

    def pick(self, rows: Tensor) -> 'Detections':
        """Return the detections in some rows."""
        return Detections(*(values[rows] for values in self))


def classwise_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    iou_threshold: float,
    max_per_img: int,
    score_thr: float | Sequence[float] | Tensor = 0.0,
    soft: dict | None = None,
    class_agnostic: bool = False,
) -> Detections:
    """Find the best detections among all pairs of a box and a class.

    The result is that of suppressing every class by itself with ``mmcv.ops.nms`` (``soft_nms``) on
    all pairs above the threshold, and keeping the best ``max_per_img``. Equal scores are taken
    in the order of rows, then classes; those that Soft-NMS made equal in the order of the scores
    they had. What is not finite, in score or box, is left out.

    Args:
        boxes: Real (R, 4), one box for all classes, or (R, C * 4), one for each; x1, y1, x2, y2 in
            pixels. Compared in float32.
        scores: Real (R, C), background excluded.
        iou_threshold: A box with a higher IoU than this with a better one of its class is
            suppressed, with ``soft`` one with at least this IoU has its score lowered.
        max_per_img: Detections to keep, 0 or less for all.
        score_thr: Scores have to be above it; one number, or one for each class.
        soft: Options of Soft-NMS (Bodla et al. 2017), with the defaults of mmcv: ``method``
            (linear, gaussian or naive), ``sigma`` of the Gaussian (0.5), and ``min_score`` (1e-3),
            below which a lowered score drops a box, unless it is the best of its class.
        class_agnostic: Suppress as if there were one class.

    Returns:
        Detections on the device of the boxes, with the types of the input; Soft-NMS lowers scores.

    Raises:
        ValueError: The shapes do not fit each other.
    """
    rows, classes = scores.shape
    if boxes.shape not in ((rows, 4), (rows, classes * 4)):
        raise ValueError(f'boxes {tuple(boxes.shape)} do not fit scores {tuple(scores.shape)}')
    thresholds = torch.as_tensor(score_thr, dtype=torch.float32)
    if thresholds.shape not in ((), (classes,)):
        raise ValueError(f'score_thr has {thresholds.numel()} entries for {classes} classes')
    boxes_of_row = boxes.reshape(rows, boxes.shape[1] // 4, 4)

    def look_up(places: Tensor) -> Detections:
        row, label = places // classes, places % classes
        column = label if boxes_of_row.shape[1] > 1 else torch.zeros_like(label)
        return Detections(boxes_of_row[row, column], scores[row, label], label, row)

    suppress = _make_suppression(iou_threshold, soft, class_agnostic)
    return _search(scores, thresholds.expand(classes), look_up, suppress, max_per_img)


def labelled_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    *,
    iou_threshold: float,
    max_per_img: int,
    score_thr: float | Sequence[float] | Tensor = -torch.inf,
    soft: dict | None = None,
    class_agnostic: bool = False,
) -> Detections:
    """Find the best of detections that have a label each, such as those of several views.

    Args:
        boxes: Real (N, 4), x1, y1, x2, y2 in pixels. Compared in float32.
        scores: Real (N,).
        labels: int64 (N,), 0 or more.
        iou_threshold: As in :func:`classwise_nms`, like the rest.
        max_per_img: Detections to keep, 0 or less for all.
        score_thr: One number, or one for each label; by default there is no threshold.
        soft: Options of Soft-NMS.
        class_agnostic: Suppress as if there were one class.

    Returns:
        As :func:`classwise_nms`; equal scores are taken in the order of rows.

    Raises:
        ValueError: A label is negative.
    """
    thresholds = torch.as_tensor(score_thr, dtype=torch.float32, device=scores.device)
    if thresholds.ndim:
        scores = scores.masked_fill(~(scores > thresholds[labels]), torch.nan)
        thresholds = scores.new_tensor(-torch.inf, dtype=torch.float32)

    def look_up(places: Tensor) -> Detections:
        return Detections(boxes[places], scores[places], labels[places], places)

    suppress = _make_suppression(iou_threshold, soft, class_agnostic)
    return _search(scores[:, None], thresholds.expand(1), look_up, suppress, max_per_img)


def _search(
    scores: Tensor,
    thresholds: Tensor,
    look_up: Callable[[Tensor], Detections],
    suppress: Callable[[Detections, int], tuple[Detections, bool]],
    max_per_img: int,
) -> Detections:
    """Suppress the best candidates, and more of them until what is kept is final."""
    limit = max_per_img if max_per_img > 0 else max(1, scores.numel())
    count = limit * GROWTH
    while True:
        candidates = look_up(top_scores(scores.float(), thresholds, count))
        kept, is_final = suppress(candidates, limit)
        if is_final or len(candidates.index) < count:
            return kept
        count *= GROWTH


def _make_suppression(
    iou_threshold: float, soft: dict | None, class_agnostic: bool
) -> Callable[[Detections, int], tuple[Detections, bool]]:
    """Return what keeps some of the candidates and says whether more could change that."""

    def suppress(candidates: Detections, limit: int) -> tuple[Detections, bool]:
        # One transfer and a loop of the host: the number of detections has to get there anyway.
        boxes = candidates.boxes.detach().float().cpu().contiguous().numpy()
        labels = candidates.labels.cpu().numpy()
        if class_agnostic:
            labels = np.zeros_like(labels)
        elif labels.min(initial=0) < 0:
            raise ValueError(f'labels are 0 or more, not {labels.min()}')
        if soft is None:
            rows = keep_best(boxes, labels, labels.max(initial=0) + 1, float(iou_threshold), limit)
            return candidates.pick(torch.from_numpy(rows).to(candidates.index)), len(rows) == limit
        scores = candidates.scores.detach().float().cpu().numpy().copy()
        worst = scores.min(initial=np.inf)
        rows = _soften(boxes, scores, labels, limit, iou_threshold=iou_threshold, **soft)
        kept = candidates.pick(torch.from_numpy(rows).to(candidates.index))
        lowered = torch.from_numpy(scores[rows]).to(kept.scores)
        # Other candidates are no better than the worst one here, and equal ones come later.
        is_final = len(rows) == limit and bool(scores[rows[-1]] >= worst)
        return kept._replace(scores=lowered), is_final

    return suppress


def _soften(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    limit: int,
    *,
    iou_threshold: float,
    method: str = 'linear',
    sigma: float = 0.5,
    min_score: float = 1e-3,
) -> np.ndarray:
    """Lower the scores in place; return the rows of the best, by falling score."""
    usable = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    order = usable[np.argsort(labels[usable], kind='stable')]
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1, append=-1))
    numbers = (np.float32(value) for value in (iou_threshold, sigma, min_score))
    kept = lower_scores(boxes, scores, order, starts, *numbers, SOFT_METHODS[method], limit)
    rows = np.flatnonzero(kept)
    return rows[np.argsort(-scores[rows], kind='stable')][:limit]
