"""Repairs of a single annotation, so that training and evaluation can use it."""

from collections.abc import Callable

import numpy as np
from pycocotools import mask as coco_mask

from plugins.annotations.boxes import MASK_BOX_TOLERANCE
from plugins.annotations.rle import rle_fault
from plugins.annotations.segmentations import ring_fault, tight_box

_ROUNDING = 0.01  # files hold two decimals: x + width may exceed the image by rounding only

Box = tuple[float, float, float, float]


def repair_annotation(
    record: dict, width: int, height: int, note: Callable[[str], None]
) -> dict | None:
    """Give an annotation a usable mask, a box inside the image and a positive area.

    The mask is the truth: polygons that cannot be rasterised go, and a box that is missing, wholly
    outside the image or more than `MASK_BOX_TOLERANCE` pixels off its mask is computed anew. An
    annotation that never had a mask keeps its box, as a rectangle.

    Args:
        record: The annotation; it is not changed.
        width: Pixels of its image.
        height: Pixels of its image.
        note: Called with the code of every repair, and of the reason for giving up.

    Returns:
        A repaired copy, or None if nothing usable is left.
    """
    box = clip_box(record.get('bbox'), width, height)
    if not record.get('segmentation'):
        if box is None:
            note('nothing-usable')
            return None
        note('box-as-mask')
        return _with(record, [_rectangle(box)], box, box[2] * box[3])
    segmentation = _usable_segmentation(record['segmentation'], width, height, note)
    mask_box = None if segmentation is None else _mask_box(segmentation, width, height)
    if mask_box is None:
        note('degenerate')
        return None
    if box is None or _corner_distance(box, mask_box) > MASK_BOX_TOLERANCE:
        note('box-recomputed')
        box = mask_box
    elif list(box) != record['bbox']:
        note('box-clipped')
    area = record.get('area')
    if not (type(area) in (int, float) and 0 < area < np.inf):
        area = _mask_area(segmentation, width, height)
        note('area-recomputed' if area > 0 else 'degenerate')
    return _with(record, segmentation, box, area) if area > 0 else None


def clip_box(box: object, width: int, height: int) -> Box | None:
    """The part of a box that lies inside the image.

    Args:
        box: What the record holds; x, y, width, height in pixels if it is right.
        width: Pixels of the image.
        height: Pixels of the image.

    Returns:
        x, y, width, height with the numbers untouched where the box lies inside; None for a box
        that is not four finite numbers, has no area or lies outside.
    """
    if not (isinstance(box, list) and len(box) == 4):
        return None
    if not all(type(v) in (int, float) and -1e15 < v < 1e15 for v in box):
        return None
    x, y, box_width, box_height = box
    if box_width <= 0 or box_height <= 0:
        return None
    excess = max(-x, -y, x + box_width - width, y + box_height - height)
    if excess <= _ROUNDING:
        return x, y, box_width, box_height
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + box_width, width), min(y + box_height, height)
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _usable_segmentation(
    segmentation: object, width: int, height: int, note: Callable[[str], None]
) -> list | dict | None:
    if isinstance(segmentation, dict):
        if rle_fault(segmentation, height, width):
            note('rle-dropped')
            return None
        if isinstance(segmentation['counts'], list):
            note('rle-compressed')
            packed = coco_mask.frPyObjects(segmentation, height, width)
            return {'size': packed['size'], 'counts': packed['counts'].decode()}
        return segmentation
    if not isinstance(segmentation, list):
        return None
    if all(type(value) in (int, float) for value in segmentation):
        note('flat-polygon')
        segmentation = [segmentation]
    faults = [ring_fault(ring) for ring in segmentation]
    if not any(faults):
        return segmentation
    for code in sorted({fault for fault in faults if fault}):
        note(f'{code}-dropped')
    rings = [ring for ring, fault in zip(segmentation, faults, strict=True) if not fault]
    return rings or None


def _mask_box(segmentation: list | dict, width: int, height: int) -> Box | None:
    if isinstance(segmentation, dict):
        box = coco_mask.toBbox(segmentation).tolist()
    else:
        box = list(tight_box(segmentation))
    return clip_box(box, width, height)


def _mask_area(segmentation: list | dict, width: int, height: int) -> float:
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    return float(coco_mask.area(segmentation))


def _corner_distance(a: Box, b: Box) -> float:
    return max(
        abs(a[0] - b[0]),
        abs(a[1] - b[1]),
        abs(a[0] + a[2] - b[0] - b[2]),
        abs(a[1] + a[3] - b[1] - b[3]),
    )


def _rectangle(box: Box) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _with(record: dict, segmentation: list | dict, box: Box, area: float) -> dict:
    return {**record, 'segmentation': segmentation, 'bbox': list(box), 'area': area}
