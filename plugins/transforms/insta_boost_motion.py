"""Small rigid motions of instance groups: how they are drawn, and what they do to shapes."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

BORDER = 10  # pixels; a group that comes nearer to the image border keeps touching it


@dataclass(frozen=True)
class Motion:
    """Similarity transform about a centre, all in pixels with (0, 0) the corner of the image.

    Args:
        centre: x, y of the point that is shifted only.
        shift: x, y of the shift.
        scale: larger than 0.
        degrees: rotation, clockwise as the image is seen.
    """

    centre: tuple[float, float]
    shift: tuple[int, int] = (0, 0)
    scale: float = 1.0
    degrees: float = 0.0

    def matrix(self) -> np.ndarray:
        """Affine matrix, float64 (2, 3), for column vectors (x, y, 1)."""
        angle = np.deg2rad(self.degrees)
        cosine, sine = self.scale * np.cos(angle), self.scale * np.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        centre = np.array(self.centre)
        offset = centre + self.shift - linear @ centre
        return np.hstack([linear, offset[:, None]])


def overlapping_groups(boxes: np.ndarray) -> list[np.ndarray]:
    """Chains of boxes that overlap, as lists of indices.

    Args:
        boxes: xyxy, (N, 4).
    """
    starts, ends = boxes[:, None, :2], boxes[None, :, 2:]
    reaches = (starts < ends).all(axis=2)
    count, group = connected_components(reaches & reaches.T, directed=False)
    return [np.flatnonzero(group == number) for number in range(count)]


def draw_motion(
    box: np.ndarray,
    image_shape: tuple[int, int],
    *,
    shift_divisor: int,
    scale_range: tuple[float, float],
    max_degrees: float,
) -> Motion:
    """Draw the motion of a group from the global ``numpy.random``.

    Near the border of the image a group is not shrunk, turned or moved away from it: the part that
    the border hides would have to be seen.

    Args:
        box: xyxy around the group, (4,).
        image_shape: height and width.
        shift_divisor: the largest shift is the side of the box over this, rounded down.
        scale_range: smallest and largest scale.
        max_degrees: largest rotation either way.
    """
    sides = box[2:] - box[:2]
    most = np.maximum(sides // shift_divisor, 0).astype(int)
    shift = np.array([np.random.randint(-limit, limit + 1) for limit in most])
    scale = np.random.uniform(*scale_range)
    degrees = np.random.uniform(-max_degrees, max_degrees)
    at_start = box[:2] < BORDER
    at_end = box[2:] > np.array(image_shape[::-1]) - BORDER
    if at_start.any() or at_end.any():
        scale, degrees = max(scale, 1.0), 0.0
    shift = np.where(at_start, np.minimum(shift, 0), shift)
    shift = np.where(at_end, np.maximum(shift, 0), shift)
    centre = (box[:2] + box[2:]) / 2
    return Motion(tuple(centre.tolist()), tuple(shift.tolist()), float(scale), float(degrees))


def move_polygons(polygons: list, motion: Motion) -> list[list[float]]:
    """Polygons (flat x, y lists in pixels) after the motion; they may leave the image."""
    matrix = motion.matrix()
    moved = []
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
        moved.append((points @ matrix[:, :2].T + matrix[:, 2]).ravel().tolist())
    return moved


def bounds(polygons: list, image_shape: tuple[int, int]) -> np.ndarray:
    """Box xyxy around polygons inside an image of ``(height, width)``, float64 (4,)."""
    points = np.concatenate([np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in polygons])
    size = np.array(image_shape[::-1])
    low, high = points.min(axis=0).clip(0, size), points.max(axis=0).clip(0, size)
    return np.concatenate([low, high])


def paste_moved(
    canvas: np.ndarray,
    image: np.ndarray,
    mask: np.ndarray,
    motion: Motion,
    protected: np.ndarray,
) -> None:
    """Blend the pixels of ``image`` below ``mask`` into ``canvas``, moved, in place.

    Args:
        canvas: uint8 (H, W, 3).
        image: likewise.
        mask: uint8 (H, W), 0 or 255.
        motion: of the pixels.
        protected: bool (H, W), pixels of the canvas that stay as they are.
    """
    matrix = motion.matrix()
    x, y, width, height = _reach(mask, matrix)
    if width <= 0 or height <= 0:
        return
    # OpenCV counts from the middle of the first pixel, polygons from its corner.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5 - (x, y)
    window = np.s_[y : y + height, x : x + width]
    alpha = cv2.warpAffine(mask, matrix, (width, height))
    alpha[protected[window]] = 0
    pixels = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    share = alpha[..., None].astype(np.float32) / 255
    blended = canvas[window] * (1 - share) + pixels * share
    canvas[window] = np.rint(blended).astype(np.uint8)


def _reach(mask: np.ndarray, matrix: np.ndarray) -> tuple[int, int, int, int]:
    """x, y, width and height of the window that the moved mask may touch, inside the image."""
    x, y, width, height = cv2.boundingRect(mask)
    corners = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]])
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    size = np.array(mask.shape[::-1])
    low = np.floor(moved.min(axis=0) - 1).clip(0, size).astype(int)
    high = np.ceil(moved.max(axis=0) + 1).clip(0, size).astype(int)
    return (*low.tolist(), *(high - low).tolist())
