"""The detections of a run as numbers and run-length codes, and as entries of a result file."""

from collections.abc import Sequence

import numpy as np
import pycocotools.mask as mask_util
from torch import Tensor

from plugins.structures import EncodedMasks


def compact(img_id: int, instances: dict) -> dict:
    """Return one image's detections without tensors and full-size masks, numbers as float32."""
    result = dict(
        img_id=img_id,
        bboxes=_numbers(instances['bboxes']),
        scores=_numbers(instances['scores']),
        labels=instances['labels'].cpu().numpy(),
        masks=_encode(instances['masks']) if 'masks' in instances else None,
    )
    if 'mask_scores' in instances:
        result['mask_scores'] = _numbers(instances['mask_scores'])
    return result


def _numbers(values: Tensor) -> np.ndarray:
    """Autocast leaves half precision, some of which numpy does not have."""
    return values.float().cpu().numpy()


def _encode(masks: EncodedMasks | Tensor | list[dict]) -> list[dict]:
    """Run-length codes; boolean tensors (N, H, W) of stock heads are encoded."""
    if isinstance(masks, EncodedMasks):
        return masks.rles()
    if not isinstance(masks, Tensor):
        return masks
    pixels = masks.detach().cpu().numpy().astype(np.uint8)
    return [mask_util.encode(np.asfortranarray(mask)) for mask in pixels]


def score_columns(
    iou_types: Sequence[str], results: list[dict]
) -> list[tuple[tuple[str, ...], str]]:
    """Say which IoU types are ranked by which score; mask scoring gives masks one of their own."""
    if not any('mask_scores' in result for result in results):
        return [(tuple(iou_types), 'scores')]
    boxes = tuple(t for t in iou_types if t == 'bbox')
    masks = tuple(t for t in iou_types if t != 'bbox')
    return [(types, key) for types, key in ((boxes, 'scores'), (masks, 'mask_scores')) if types]


def to_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Corners to corner and size, float64, as the result files hold them."""
    boxes = boxes_xyxy.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def result_entries(result: dict, iou_type: str, category_ids: np.ndarray) -> list[dict]:
    """Return the detections of one image as entries of a result file."""
    key = 'mask_scores' if iou_type == 'segm' and 'mask_scores' in result else 'scores'
    boxes = to_xywh(result['bboxes']).tolist()
    entries = []
    for i, (score, label) in enumerate(zip(result[key], result['labels'], strict=True)):
        entry = dict(
            image_id=int(result['img_id']),
            category_id=int(category_ids[label]),
            score=float(score),
        )
        # A box beside a mask would make lvis-api measure the size of the box.
        if iou_type == 'bbox':
            entry['bbox'] = boxes[i]
        else:
            code = result['masks'][i]
            counts = code['counts']
            text = counts.decode() if isinstance(counts, bytes) else counts
            entry['segmentation'] = dict(size=[int(n) for n in code['size']], counts=text)
        entries.append(entry)
    return entries
