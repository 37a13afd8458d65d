"""Boundary IoU: the IoU of what lies within a small distance of two masks' contours.

B. Cheng et al., Boundary IoU: Improving object-centric image segmentation evaluation, CVPR 2021.
The boundary of a mask is the mask without its erosion, so every count of boundary pixels follows
from counts of the masks and their erosions; a boundary itself is never made. The IoU that boundary
AP matches with is the smaller one of mask IoU and boundary IoU.
"""

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.erosion import erode, erosion_buffers


def boundary_radius(
    height: int | np.ndarray, width: int | np.ndarray, dilation_ratio: float = 0.02
) -> np.ndarray:
    """How many pixels wide the boundary is: the diagonal's share, rounded half to even, at least 1.

    Args:
        height: Of the image (not of the object) in pixels, or those of several images.
        width: In the same form.
        dilation_ratio: Share of the diagonal.

    Returns:
        int64 of the same shape.
    """
    diagonal = np.sqrt(np.square(height, dtype=np.float64) + np.square(width, dtype=np.float64))
    return np.maximum(1, np.rint(dilation_ratio * diagonal)).astype(np.int64)


@compiled
def overlap(first_start, first_end, first_n, second_start, second_end, second_n):
    """Pixels that two interval lists have in common.

    Args:
        first_start: int32, first pixels of the ascending, disjoint intervals of one mask.
        first_end: int32, the pixels after them.
        first_n: How many there are.
        second_start: Like the first.
        second_end: Like the first.
        second_n: Like the first.
    """
    pixels = 0
    i = j = 0
    while i < first_n and j < second_n:
        low = max(first_start[i], second_start[j])
        high = min(first_end[i], second_end[j])
        if low < high:
            pixels += high - low
        if first_end[i] < second_end[j]:
            i += 1
        else:
            j += 1
    return pixels


@compiled
def boundary_overlap(
    first_start, first_end, first_n, first_core_start, first_core_end, first_core_n,
    second_start, second_end, second_n, second_core_start, second_core_end, second_core_n,
    common,
):  # fmt: skip
    """Pixels that the boundaries of two masks have in common.

    Args:
        first_start: int32, first pixels of the ascending, disjoint intervals of one mask.
        first_end: int32, the pixels after them.
        first_n: How many there are.
        first_core_start: Those of its erosion by the boundary's radius.
        first_core_end: Like ``first_end``.
        first_core_n: 0 for an object that is narrower than the erosion's square.
        second_start: The other mask, like the first.
        second_end: Like the first.
        second_n: Like the first.
        second_core_start: Like the first.
        second_core_end: Like the first.
        second_core_n: Like the first.
        common: Pixels that the masks have in common.
    """
    # A pixel of both masks is in both boundaries if it is in neither erosion.
    pixels = common
    if first_core_n > 0:
        pixels -= overlap(
            first_core_start, first_core_end, first_core_n, second_start, second_end, second_n
        )
    if second_core_n > 0:
        pixels -= overlap(
            first_start, first_end, first_n, second_core_start, second_core_end, second_core_n
        )
    if first_core_n > 0 and second_core_n > 0:
        pixels += overlap(
            first_core_start, first_core_end, first_core_n,
            second_core_start, second_core_end, second_core_n,
        )  # fmt: skip
    return pixels


def boundary_iou(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    height: int,
    width: int,
    *,
    dilation_ratio: float = 0.02,
) -> float:
    """Boundary IoU of two masks of one image; boundary AP takes the minimum with the mask IoU.

    Args:
        first: First pixels of the ascending, disjoint intervals of one mask and the pixels after
            them, each int32 (N,); pixel numbers are column-major, ``x * height + y``.
        second: Like ``first``.
        height: Of the image in pixels.
        width: Of the image in pixels.
        dilation_ratio: Width of the boundary as a share of the image's diagonal.

    Returns:
        In [0, 1]; 0 when both masks are empty.
    """
    radius = int(boundary_radius(height, width, dilation_ratio))
    parts = [(*mask, len(mask[0]), *_core(mask, height, width, radius)) for mask in (first, second)]
    common = overlap(*parts[0][:3], *parts[1][:3])
    shared = boundary_overlap(*parts[0], *parts[1], common)
    pixels = [
        int(np.sum(end - start)) - int(np.sum(core_end - core_start))
        for start, end, _, core_start, core_end, _ in parts
    ]
    return shared / max(1, sum(pixels) - shared)


def _core(
    mask: tuple[np.ndarray, np.ndarray], height: int, width: int, radius: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Intervals of the erosion of a mask, and their number."""
    (core_start, core_end), scratch = erosion_buffers(height, width, radius)
    n = erode(*mask, len(mask[0]), height, width, radius, core_start, core_end, scratch)
    return core_start[:n], core_end[:n], n
