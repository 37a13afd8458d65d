"""The detections of an image as its JSON file holds them."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import InstanceData

from plugins.evaluation.detections import to_xywh
from plugins.structures import EncodedMasks


def choose(instances: InstanceData, thresholds: np.ndarray) -> InstanceData:
    """Keep the detections that reach the score threshold of their category.

    Args:
        instances: ``scores`` (N,) and ``labels`` (N,), with whatever else there is; masks of stock
            heads are encoded.
        thresholds: float (K,), by label.

    Returns:
        The chosen ones on the CPU, in the same order.
    """
    needed = torch.from_numpy(thresholds).to(instances.scores.device)[instances.labels]
    chosen = instances[instances.scores >= needed].cpu()
    masks = chosen.get('masks')
    if masks is not None and not isinstance(masks, EncodedMasks):
        # A field cannot change its type in place.
        others = {key: value for key, value in chosen.items() if key != 'masks'}
        chosen = InstanceData(**others, masks=EncodedMasks.from_bitmaps(masks))
    return chosen


def prediction_record(
    file_name: str, shape: tuple[int, int], instances: InstanceData, names: Sequence[str]
) -> dict:
    """Detections as COCO and LVIS write results, with the names that a reader needs.

    Args:
        file_name: Of the image, as it was given.
        shape: Height and width of the image.
        instances: As returned by `choose`; ``masks`` and ``mask_scores`` may be missing.
        names: Of the categories, by label.

    Returns:
        ``file_name``, ``height``, ``width`` and ``detections``: each with ``category_id``
        (label + 1, as in LVIS), ``category_name``, ``score``, ``bbox`` (x, y, width, height in
        pixels), and ``segmentation`` (a run-length code) and ``mask_score`` where there is one.
    """
    boxes = to_xywh(instances.bboxes.double().numpy()).tolist()
    labels, scores = instances.labels.tolist(), instances.scores.tolist()
    detections = [
        dict(category_id=label + 1, category_name=names[label], score=score, bbox=box)
        for label, score, box in zip(labels, scores, boxes, strict=True)
    ]
    if 'masks' in instances:
        for i, detection in enumerate(detections):
            detection['segmentation'] = instances.masks[i]
    if 'mask_scores' in instances:
        for detection, score in zip(detections, instances.mask_scores.tolist(), strict=True):
            detection['mask_score'] = score
    height, width = shape
    return dict(file_name=file_name, height=height, width=width, detections=detections)
