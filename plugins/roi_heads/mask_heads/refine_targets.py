"""What the stages of RefineMask and its semantic branch shall predict."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdet.structures.mask import BaseInstanceMasks, BitmapMasks, polygon_to_bitmap
from plugins.structures import CropMasks, windows_of
from plugins.structures.dense_roi_align import align_bitmaps


def light_masks(masks: BaseInstanceMasks) -> BaseInstanceMasks:
    """Return masks without whole images, polygons or crops, with the same pixels."""
    if type(masks) is BitmapMasks and masks.masks.dtype.kind in 'bui':
        return CropMasks.from_bitmaps(masks.masks)
    return masks


def stage_targets(
    masks: BaseInstanceMasks, boxes: Tensor, objects: Tensor, sizes: tuple[int, ...]
) -> list[Tensor]:
    """Cut the masks of objects out of boxes, at the size of every stage.

    The targets equal those of ``crop_and_resize`` for the boxes clipped to the image.

    Args:
        masks: The objects of an image.
        boxes: Float (R, 4), x1, y1, x2, y2 in pixels of the masks' frame.
        objects: Int64 (R,), the object of every box.
        sizes: Pixels a side, of every stage.

    Returns:
        Of every stage, float32 (R, S, S), 0 or 1, where the boxes are.
    """
    if len(boxes) == 0:
        return [boxes.new_zeros(0, size, size, dtype=torch.float32) for size in sizes]
    boxes = boxes.detach().float()
    x, y = boxes[:, 0::2].clamp(0, masks.width), boxes[:, 1::2].clamp(0, masks.height)
    boxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)
    objects = objects.cpu()
    if isinstance(masks, CropMasks) and boxes.is_cuda:
        # crop_and_resize would bring every target to the host and back.
        arguments = masks.windows(), (masks.height, masks.width), boxes, objects
        shares = (align_bitmaps(*arguments, (size, size)) for size in sizes)
        return [(share >= 0.5).float() for share in shares]
    arrays = boxes.cpu().numpy(), objects.numpy()
    return [_targets_of_size(masks, *arrays, size, boxes.device) for size in sizes]


def _targets_of_size(
    masks: BaseInstanceMasks,
    boxes: np.ndarray,
    objects: np.ndarray,
    size: int,
    device: torch.device,
) -> Tensor:
    cut = masks.crop_and_resize(boxes, (size, size), inds=objects, device=device)
    return torch.from_numpy(cut.to_ndarray()).to(device).float()


def semantic_targets(
    masks: list[BaseInstanceMasks], size: tuple[int, int], stride: int, device: torch.device
) -> Tensor:
    """Say where objects are.

    Args:
        masks: The objects of every image. What they do not cover of a padded image is empty.
        size: Height and width of the prediction.
        stride: Image pixels per pixel of the prediction.
        device: Where the prediction is.

    Returns:
        Float32 (N, 1, *size), 0 or 1.
    """
    unions = np.zeros((len(masks), size[0] * stride, size[1] * stride), np.uint8)
    for union, own in zip(unions, masks, strict=True):
        _draw_union(own, union)
    pixels = torch.from_numpy(unions)[:, None].to(device).float()
    shares = F.interpolate(pixels, size, mode='bilinear', align_corners=False)
    return (shares >= 0.5).float()


def _draw_union(masks: BaseInstanceMasks, canvas: np.ndarray) -> None:
    """Set the pixels of all objects to 1, without more than one object as a whole image."""
    if isinstance(masks, BitmapMasks):
        windows = windows_of(masks)
    else:
        frame = masks.height, masks.width
        windows = ((0, 0, polygon_to_bitmap(polygons, *frame)) for polygons in masks)
    for x, y, pixels in windows:
        place = canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]]
        place |= pixels[: place.shape[0], : place.shape[1]] != 0
