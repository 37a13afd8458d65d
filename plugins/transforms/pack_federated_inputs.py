"""The last step of a pipeline: what the model receives."""

from collections.abc import Sequence

import cv2
import numpy as np

from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS

STOCK_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
)
FEDERATED_KEYS = ('neg_labels', 'not_exhaustive_labels')


@TRANSFORMS.register_module()
class PackFederatedInputs(PackDetInputs):
    """mmdet's `PackDetInputs` that keeps the federated lists of the image, as metainfo.

    Args:
        meta_keys: Keys of the metainfo, as far as the sample has them.
    """

    def __init__(self, meta_keys: Sequence[str] = STOCK_KEYS + FEDERATED_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Pack a sample as mmdet does; the same result in less time."""
        image = results.get('img')
        if image is not None and image.ndim == 3:
            # mmdet copies an image that is not contiguous to planes; of planes nothing is copied.
            results['img'] = image_planes(image).transpose(1, 2, 0)
        return super().transform(results)


def image_planes(image: np.ndarray) -> np.ndarray:
    """The channels of an image one after another.

    Args:
        image: (H, W, C), in memory in any order.

    Returns:
        (C, H, W) of the same type, contiguous.
    """
    # Strides run backwards where an earlier step mirrored the image without moving a byte.
    mirrored_rows, mirrored_columns = (stride < 0 for stride in image.strides[:2])
    stored = image[:: -1 if mirrored_rows else 1, :: -1 if mirrored_columns else 1]
    pixel = image.shape[2] * image.itemsize
    if stored.strides[1:] != (pixel, image.itemsize) or image.dtype not in (np.uint8, np.float32):
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(stored, list(planes))
    if mirrored_rows or mirrored_columns:
        # OpenCV: 0 mirrors the rows, 1 the columns, -1 both.
        code = int(mirrored_columns) if mirrored_rows != mirrored_columns else -1
        for plane in planes:
            cv2.flip(plane, code, dst=plane)
    return planes
