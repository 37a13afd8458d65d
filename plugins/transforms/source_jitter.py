"""Large-scale jitter of the image that objects are taken from."""

from typing import NamedTuple

import mmcv
import numpy as np

from plugins.structures import CropMasks


class SourceJitter(NamedTuple):
    """Where an image comes to lie on a canvas.

    Attributes:
        size: Height, width of the image after resizing.
        top: First row of it that is shown.
        left: First column of it that is shown.
        canvas: Height, width of the canvas; a smaller image lies in its top left corner.
        is_flipped: Whether what is shown is mirrored left to right.
    """

    size: tuple[int, int]
    top: int
    left: int
    canvas: tuple[int, int]
    is_flipped: bool


def draw_source_jitter(
    image_shape: tuple[int, int],
    canvas: tuple[int, int],
    ratio_range: tuple[float, float],
    flip_prob: float,
) -> SourceJitter:
    """Draw size, cut and flip.

    Args:
        image_shape: Height, width of the image.
        canvas: Height, width of the canvas.
        ratio_range: Limits of the size relative to the one at which the image just fits.
        flip_prob: Probability of mirroring.
    """
    (height, width), ratio = image_shape, np.random.uniform(*ratio_range)
    scale = ratio * min(canvas[0] / height, canvas[1] / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (
        int(np.random.randint(max(side - shown, 0) + 1))
        for side, shown in zip(size, canvas, strict=True)
    )
    return SourceJitter(size, top, left, canvas, np.random.random() < flip_prob)


def jitter_masks(masks: CropMasks, jitter: SourceJitter) -> CropMasks:
    """The masks of the image as the canvas shows them; the frame may be smaller than the canvas."""
    bottom, right = jitter.top + jitter.canvas[0], jitter.left + jitter.canvas[1]
    masks = masks.resize(jitter.size).crop(np.array([jitter.left, jitter.top, right, bottom]))
    return masks.flip() if jitter.is_flipped else masks


def jitter_image(image: np.ndarray, jitter: SourceJitter) -> np.ndarray:
    """The pixels that belong to `jitter_masks`, (h, w, C)."""
    image = mmcv.imresize(image, jitter.size[::-1])
    height, width = jitter.canvas
    image = image[jitter.top : jitter.top + height, jitter.left : jitter.left + width]
    return image[:, ::-1] if jitter.is_flipped else image
