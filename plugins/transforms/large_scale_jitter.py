"""Large-scale jitter (Ghiasi et al., "Simple Copy-Paste", 2021, section 3)."""

import math
from numbers import Real

import cv2
import mmcv
import numpy as np
from mmcv.transforms import RandomResize

from mmdet.datasets.transforms import Pad, RandomCrop, Resize
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from plugins.errors import UserError
from plugins.transforms.argument_checks import check_range, check_size


@TRANSFORMS.register_module()
class LargeScaleJitter(Resize):
    """Resize by a random ratio, then crop or pad to a fixed size, in one step.

    The same as mmdet's `RandomResize` with kept ratio, `RandomCrop` that recomputes boxes and keeps
    crops without objects, and `Pad`: the same sample from the same random numbers. An image that
    fits into the canvas is resized straight into it; of a larger one, what lies below and to the
    right of the crop is not computed.

    Args:
        scale: (width, height) of the result, pixels.
        ratio_range: Smallest and largest size of the image in units of ``scale``.
        pad_val: Colour of the image's padding, 0 to 255. Masks are padded with 0, a semantic map
            with 255.

    Raises:
        UserError: An argument is out of range.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        ratio_range: tuple[float, float] = (0.1, 2.0),
        pad_val: float = 0,
    ) -> None:
        check_size(self, scale=scale)
        check_range(self, ratio_range=ratio_range)
        if not isinstance(pad_val, Real) or not 0 <= pad_val <= 255:
            raise UserError(
                f'train_pipeline: LargeScaleJitter.pad_val={pad_val!r} must be from 0 to 255'
            )
        super().__init__(scale=tuple(scale), keep_ratio=True)
        self.ratio_range = tuple(ratio_range)
        self.pad_val = pad_val
        self._crop = _CropAt(crop_size=self.scale, allow_negative_crop=True, recompute_bbox=True)
        self._pad = Pad(size=self.scale)

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Jitter the image and all its annotations; keys are those of the three stock steps."""
        image = results['img']
        results['scale'] = RandomResize._random_sample_ratio(self.scale, self.ratio_range)
        width, height = mmcv.rescale_size(image.shape[1::-1], results['scale'])
        if not (width and height):
            # The error of stock's step, which the data set knows and gives the name of the image.
            mmcv.imresize(image, (width, height))
        shown = (min(height, self.scale[1]), min(width, self.scale[0]))
        self._crop.draw_offset(height - shown[0], width - shown[1])
        # The annotations are cropped by mmdet, which reads no more than the shape of an image.
        results['img'] = np.broadcast_to(image[:1, :1], (height, width, *image.shape[2:]))
        results['img_shape'] = (height, width)
        results['scale_factor'] = (width / image.shape[1], height / image.shape[0])
        results['keep_ratio'] = True
        self._resize_bboxes(results)
        self._resize_masks(results)
        self._resize_seg(results)
        self._record_homography_matrix(results)
        results = self._crop(results)
        results['img'] = jittered_image(
            image, (height, width), self._crop.offset, self.scale[::-1], self.pad_val
        )
        self._record_padding(results)
        return results

    def _record_padding(self, results: dict) -> None:
        results['pad_shape'] = results['img'].shape
        results['pad_fixed_size'] = self.scale
        results['pad_size_divisor'] = None
        results['img_shape'] = results['img'].shape[:2]
        self._pad._pad_seg(results)
        self._pad._pad_masks(results)

    def __repr__(self) -> str:
        return (
            f'LargeScaleJitter(scale={self.scale}, ratio_range={self.ratio_range}, '
            f'pad_val={self.pad_val})'
        )


class _CropAt(RandomCrop):
    """mmdet's crop, its offset drawn before the image is resized."""

    def draw_offset(self, margin_h: int, margin_w: int) -> None:
        self.offset = super()._rand_offset((margin_h, margin_w))

    def _rand_offset(self, margin: tuple[int, int]) -> tuple[int, int]:
        return self.offset


def jittered_image(
    image: np.ndarray,
    size: tuple[int, int],
    offset: tuple[int, int],
    canvas_size: tuple[int, int],
    pad_val: float,
) -> np.ndarray:
    """Resize an image, crop it and put it at the top left of a canvas.

    Args:
        image: uint8 or float32 (h, w, C).
        size: height, width of the resized image.
        offset: row, column at which the crop begins, 0 where the resized image fits.
        canvas_size: height, width of the crop and the canvas.
        pad_val: colour of the rest of the canvas.

    Returns:
        Like ``image``, (canvas height, canvas width, C).
    """
    canvas = np.empty((*canvas_size, *image.shape[2:]), image.dtype)
    (top, left), height, width = offset, *np.minimum(size, canvas_size)
    shown = canvas[:height, :width]
    if (height, width) == tuple(size):
        resized = mmcv.imresize(image, (width, height), out=shown)
        if not np.may_share_memory(resized, canvas):
            shown[:] = resized.reshape(shown.shape)
    else:
        resized = _resized_beginning(image, size, top + height, left + width)
        shown[:] = resized[top : top + height, left : left + width].reshape(shown.shape)
    canvas[height:] = pad_val
    canvas[:height, width:] = pad_val
    return canvas


def _resized_beginning(
    image: np.ndarray, size: tuple[int, int], height: int, width: int
) -> np.ndarray:
    """The first rows and columns of the resized image, and some more."""
    factors = [new / old for new, old in zip(size, image.shape[:2], strict=True)]
    # Bilinear interpolation reads at most two pixels beyond the place of the last one.
    rows, columns = (
        math.ceil(kept / factor) + 2 for kept, factor in zip((height, width), factors, strict=True)
    )
    part = image[:rows, :columns]
    # OpenCV copies what keeps its size, whatever the factors; and the last bit of a float depends
    # on where it ends a row.
    keeps_size = all(
        round(old * factor) == old for old, factor in zip(part.shape[:2], factors, strict=True)
    )
    if keeps_size or part.shape == image.shape or image.dtype != np.uint8:
        return mmcv.imresize(image, size[::-1])
    # With the factors given, and not the size, each pixel is computed as in the whole image.
    return cv2.resize(part, None, fx=factors[1], fy=factors[0], interpolation=cv2.INTER_LINEAR)
