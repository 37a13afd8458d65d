"""Colour jitter that leaves an image what it was: eight bits per channel."""

import cv2
import numpy as np

from mmdet.datasets.transforms import PhotoMetricDistortion
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RoundedPhotoMetricDistortion(PhotoMetricDistortion):
    """mmdet's `PhotoMetricDistortion`, rounded and clipped to the range of the image's type.

    mmdet's returns an image of float32, with values below 0 and above 255: four times the bytes
    through everything that follows, the worker's pipe and the upload among it. The random numbers
    and, but for rounding and clipping, the results are the same.

    Required and modified keys: img, uint8 (H, W, 3).

    Args:
        **kwargs: As in mmdet: ``brightness_delta``, ``contrast_range``, ``saturation_range`` and
            ``hue_delta``.
    """

    def transform(self, results: dict) -> dict:
        """Change the colours; an image of another type than uint8 comes back as from mmdet."""
        is_bytes = results['img'].dtype == np.uint8
        results = super().transform(results)
        if is_bytes:
            results['img'] = cv2.add(results['img'], 0, dtype=cv2.CV_8U)  # rounds and clips
        return results
