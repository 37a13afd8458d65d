"""One set of boxes from those of several views of an image."""

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from plugins.layers import classwise_nms, labelled_nms, read_max_per_img, read_nms
from plugins.test_time.tta_options import TTAOptions


def keep_best(views: Sequence[InstanceData], options: TTAOptions) -> InstanceData:
    """Let the detections of all views compete, class by class.

    Args:
        views: Detections in the original image: ``bboxes`` float (n, 4), ``scores`` float (n,),
            ``labels`` int64 (n,); further fields follow their detection.
        options: What suppresses and how many remain.

    Returns:
        The survivors, best score first.
    """
    # A view without detections may lack the fields of the others.
    candidates = InstanceData.cat([view for view in views if len(view)] or views[:1])
    limits = {} if options.score_thr is None else dict(score_thr=options.score_thr)
    kept = labelled_nms(
        candidates.bboxes,
        candidates.scores,
        candidates.labels,
        max_per_img=options.max_per_img,
        **limits,
        **options.nms,
    )
    survivors = candidates[kept.index]
    survivors.scores = kept.scores  # Soft-NMS lowers them
    return survivors


def merge_proposals(views: Sequence[InstanceData], cfg: dict) -> Tensor:
    """Choose the best proposals of all views.

    Args:
        views: ``bboxes`` float (P, 4) in the original image and ``scores`` float (P,).
        cfg: ``test_cfg.rpn`` of the detector: ``nms`` and ``max_per_img``.

    Returns:
        Float (P', 4), best score first.
    """
    boxes = torch.cat([view.bboxes for view in views])
    scores = torch.cat([view.scores for view in views])
    return labelled_nms(
        boxes,
        scores,
        torch.zeros_like(scores, dtype=torch.long),
        max_per_img=read_max_per_img(cfg, 'test_cfg.rpn'),
        **read_nms(cfg['nms'], 'test_cfg.rpn.nms'),
    ).boxes


def average_ratings(views: Sequence[InstanceData], options: TTAOptions) -> InstanceData:
    """Average what the views say about the same proposals, and keep the best detections.

    Args:
        views: ``bboxes`` float (R, 4) or (R, 4 C) in the original image and ``scores``
            float (R, C + 1), background last.
        options: What suppresses, from which score on, and how many remain.

    Returns:
        ``bboxes`` float (K, 4), ``scores`` float (K,) and ``labels`` int64 (K,), best first.
    """
    boxes = torch.stack([view.bboxes for view in views]).mean(0)
    scores = torch.stack([view.scores for view in views]).mean(0)
    kept = classwise_nms(
        boxes,
        scores[:, :-1],
        score_thr=options.score_thr,
        max_per_img=options.max_per_img,
        **options.nms,
    )
    return InstanceData(bboxes=kept.boxes, scores=kept.scores, labels=kept.labels)
