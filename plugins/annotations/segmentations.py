"""Faults of polygons and run-length masks, found in one pass over the annotations."""

from collections import defaultdict

import numpy as np

from plugins.annotations.columns import Columns
from plugins.annotations.problems import SHOWN, Problem, describe, problem
from plugins.annotations.rle import rle_fault

REPAIR = 'tools/data/coco_to_lvis.py drops or repairs them'
_WHAT = {
    'no-mask': (
        'without a segmentation',
        'add polygons, or let tools/data/coco_to_lvis.py use the boxes as masks',
    ),
    'polygon-type': (
        'with a polygon that is not a list of numbers',
        'write [[x1, y1, x2, y2, x3, y3, ...], ...]',
    ),
    'short-polygon': ('with a polygon of fewer than three points', REPAIR),
    'odd-polygon': ('with a polygon of an odd number of coordinates', REPAIR),
    'nan-polygon': ('with NaN, infinite or absurdly large polygon coordinates', REPAIR),
    'rle': ('with an unusable run-length mask', REPAIR),
}
_LARGEST_COORDINATE = 1e6


def ring_fault(ring: object) -> str | None:
    """Code of what is wrong with one polygon, if anything.

    Args:
        ring: ``[x1, y1, x2, y2, ...]`` in pixels.

    Returns:
        ``polygon-type``, ``short-polygon``, ``odd-polygon``, ``nan-polygon`` or None.
    """
    if type(ring) is not list:
        return 'polygon-type'
    if len(ring) < 6:
        return 'short-polygon'
    if len(ring) & 1:
        return 'odd-polygon'
    try:
        # The sum is finite only if every coordinate is, and it is the fastest test there is. The
        # bound also stops coordinates for which pycocotools would allocate gigabytes.
        bound = _LARGEST_COORDINATE * len(ring)
        return None if -bound < sum(ring) < bound else 'nan-polygon'
    except (TypeError, OverflowError):
        return 'polygon-type'


def segmentation_problems(annotations: list[dict], columns: Columns) -> list[Problem]:
    """Problems of the masks of all annotations.

    Args:
        annotations: Records of the file, N of them.
        columns: Their columns.

    Returns:
        One fatal problem per class that occurs.
    """
    faulty: dict[str, list[str]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)

    def note(code: str, position: int, reason: str = '') -> None:
        counts[code] += 1
        if len(faulty[code]) < SHOWN:
            faulty[code].append(describe(annotations[position]) + (f': {reason}' if reason else ''))

    for position, record in enumerate(annotations):
        segmentation = record.get('segmentation')
        if not segmentation:
            note('no-mask', position)
        elif type(segmentation) is list:
            for ring in segmentation:
                code = ring_fault(ring)
                if code:
                    note(code, position)
                    break
        elif type(segmentation) is dict:
            image = columns.image[position]
            if image >= 0:
                reason = rle_fault(
                    segmentation, int(columns.heights[image]), int(columns.widths[image])
                )
                if reason:
                    note('rle', position, reason)
        else:
            note('polygon-type', position)
    return [
        found
        for code, (what, remedy) in _WHAT.items()
        if (
            found := problem(
                code, faulty[code], 'annotation', what, count=counts[code], remedy=remedy
            )
        )
    ]


def polygon_boxes(annotations: list[dict]) -> np.ndarray:
    """Tight boxes around the polygons of each annotation.

    Args:
        annotations: Records whose polygons have no fault.

    Returns:
        float64 (N, 4), x, y, width, height in pixels; NaN rows for run-length masks and for
        annotations without polygons.
    """
    boxes = np.full((len(annotations), 4), np.nan)
    for row, record in enumerate(annotations):
        rings = record.get('segmentation')
        if type(rings) is list and rings and not any(map(ring_fault, rings)):
            boxes[row] = tight_box(rings)
    return boxes


def tight_box(rings: list[list[float]]) -> tuple[float, float, float, float]:
    """Smallest box around polygons.

    Args:
        rings: One or more polygons without a fault, pixels.

    Returns:
        x, y, width, height in pixels.
    """
    left = min(min(ring[::2]) for ring in rings)
    top = min(min(ring[1::2]) for ring in rings)
    right = max(max(ring[::2]) for ring in rings)
    bottom = max(max(ring[1::2]) for ring in rings)
    return left, top, right - left, bottom - top
