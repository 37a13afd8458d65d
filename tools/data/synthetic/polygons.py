"""Masks to LVIS polygons and back, in pycocotools' convention (pixel (0, 0) covers [0, 1]²)."""

import cv2
import numpy as np
from pycocotools import mask as mask_utils

# A hole of fewer pixels, or of a smaller share of the mask, is filled as an annotator would.
MIN_HOLE_PIXELS = 12
MIN_HOLE_SHARE = 0.04
# Rings below this share of the mask are left out unless they are all there is.
MIN_RING_SHARE = 0.02
TOLERANCE = 0.6


def rasterise(rings: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Pixels inside any of the rings.

    Args:
        rings: float (M, 2) closed polygons, M >= 3, in pixels; parts outside are cut off.
        height, width: size of the mask.

    Returns:
        bool (height, width).
    """
    return mask_utils.decode(_encode(rings, height, width)).astype(bool)


def polygon_area(rings: list[np.ndarray], height: int, width: int) -> float:
    """Number of pixels inside any of the rings, without making the mask."""
    return float(mask_utils.area(_encode(rings, height, width)))


def mask_rings(mask: np.ndarray) -> list[np.ndarray]:
    """Outline a mask by rings along the pixel edges, so that its border pixels stay inside.

    LVIS polygons have no holes: small ones are filled, around larger ones the mask is cut in two.

    Args:
        mask: bool (h, w).

    Returns:
        Rings, float64 (M, 2), M >= 3, in pixels of the mask; the largest first; empty when nothing
        is set.
    """
    rings = _outline(mask, int(np.count_nonzero(mask)))
    rings.sort(key=cv2.contourArea, reverse=True)
    least = MIN_RING_SHARE * np.count_nonzero(mask)
    kept = [ring for ring in rings if cv2.contourArea(ring) >= least]
    return [ring.astype(np.float64) for ring in kept or rings[:1]]


def _outline(mask: np.ndarray, total: int) -> list[np.ndarray]:
    # Points of a grid with half a pixel of spacing that belong to a pixel or to its edges; the
    # contour of these points runs along the outer edges of the border pixels.
    points = np.zeros((2 * mask.shape[0] + 1, 2 * mask.shape[1] + 1), dtype=np.uint8)
    fine = np.repeat(np.repeat(mask.view(np.uint8), 2, axis=0), 2, axis=1)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        points[dy : dy + fine.shape[0], dx : dx + fine.shape[1]] |= fine
    contours, tree = cv2.findContours(points, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return []
    least = 4 * max(MIN_HOLE_PIXELS, MIN_HOLE_SHARE * total)
    holes = [
        contour
        for contour, (_, _, _, parent) in zip(contours, tree[0], strict=True)
        if parent >= 0 and cv2.contourArea(contour) >= least
    ]
    if holes:
        return _split(mask, max(holes, key=cv2.contourArea), total)
    outer = [c for c, links in zip(contours, tree[0], strict=True) if links[3] < 0]
    return [_simplify(contour[:, 0]).astype(np.float32) / 2 for contour in outer]


def _simplify(contour: np.ndarray) -> np.ndarray:
    simple = cv2.approxPolyDP(contour, 2 * TOLERANCE, True)[:, 0]
    # A diagonal chain of pixels would shrink to a line.
    return simple if len(simple) >= 3 and cv2.contourArea(simple) > 0 else contour


def _split(mask: np.ndarray, hole: np.ndarray, total: int) -> list[np.ndarray]:
    """Cut the mask through the middle of a hole, along a column."""
    x, _, width, _ = cv2.boundingRect(hole)
    column = (x + width // 2) // 2
    left = np.ascontiguousarray(mask[:, :column])
    right = np.ascontiguousarray(mask[:, column:])
    shift = np.array([column, 0], dtype=np.float32)
    return _outline(left, total) + [ring + shift for ring in _outline(right, total)]


def _encode(rings: list[np.ndarray], height: int, width: int) -> dict:
    flat = [ring.ravel().tolist() for ring in rings]
    return mask_utils.merge(mask_utils.frPyObjects(flat, height, width))
