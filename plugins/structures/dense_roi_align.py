"""RoIAlign of masks on any device, with whole images of a few objects at a time."""

import numpy as np
import torch
from mmcv.ops import roi_align
from torch import Tensor

MOST_BYTES = 1 << 26


def align_bitmaps(
    windows: list[tuple[int, int, np.ndarray]],
    frame: tuple[int, int],
    boxes: Tensor,
    objects: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Sample the mask of an object in each box.

    The whole images hold each object once, not each box, and never exceed `MOST_BYTES` unless one
    object does.

    Args:
        windows: per object x, y in the image and the crop, uint8 (h, w).
        frame: height, width of the image.
        boxes: float (R, 4), x1, y1, x2, y2 in image pixels, on the device to compute on.
        objects: int64 (R,), index of the object for each box, on the CPU.
        size: bins (rows, columns) per box.

    Returns:
        Like ``boxes``, (R, rows, columns).
    """
    targets = boxes.new_zeros(len(boxes), *size)
    chosen, positions = torch.unique(objects, return_inverse=True)
    step = max(1, MOST_BYTES // max(1, frame[0] * frame[1] * boxes.element_size()))
    for first in range(0, len(chosen), step):
        bitmaps = _bitmaps([windows[i] for i in chosen[first : first + step]], frame, boxes)
        rois = torch.nonzero((positions >= first) & (positions < first + step)).flatten()
        index = (positions[rois] - first).to(boxes)
        rois = rois.to(boxes.device)
        of_bitmaps = torch.cat([index[:, None], boxes[rois]], dim=1)
        targets[rois] = roi_align(bitmaps, of_bitmaps, size, 1.0, 0, 'avg', True).squeeze(1)
    return targets


def _bitmaps(
    windows: list[tuple[int, int, np.ndarray]], frame: tuple[int, int], like: Tensor
) -> Tensor:
    """Whole images (N, 1, H, W); their pixels travel to the device in one piece."""
    pixels = torch.from_numpy(np.concatenate([crop.reshape(-1) for _, _, crop in windows]))
    pixels = pixels.to(like.device)
    bitmaps = like.new_zeros(len(windows), 1, *frame)
    sizes = [crop.size for _, _, crop in windows]
    for bitmap, (x, y, crop), part in zip(bitmaps, windows, pixels.split(sizes), strict=True):
        height, width = crop.shape
        bitmap[0, y : y + height, x : x + width] = part.view(height, width)
    return bitmaps
