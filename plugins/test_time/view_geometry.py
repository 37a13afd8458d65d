"""Where things of an image lie in one of its views: scaled, then mirrored."""

from collections.abc import Iterable

from torch import Tensor

from mmdet.structures.bbox import bbox_flip
from plugins.errors import UserError
from plugins.roi_heads.mask_maps import MaskMaps

# Dimensions of maps (..., H, W) that a flip reverses.
FLIPPED_DIMS = {'horizontal': (-1,), 'vertical': (-2,), 'diagonal': (-2, -1)}

_NEEDED = ('ori_shape', 'scale_factor', 'flip')


def check_view(meta: dict) -> None:
    """Raise if the metainfo of a view does not say how the image was changed.

    Args:
        meta: ``ori_shape`` (h, w), ``scale_factor`` (w, h), ``flip`` and, if that is true,
            ``flip_direction``: horizontal, vertical or diagonal.

    Raises:
        UserError: A key is missing. Guessing would put boxes on the wrong side of the image.
    """
    missing = [key for key in _NEEDED if key not in meta]
    if not missing and meta['flip'] and meta.get('flip_direction') not in FLIPPED_DIMS:
        missing = ['flip_direction']
    if missing:
        raise UserError(
            f'tta_pipeline: views of image {meta.get("img_id")} say nothing of {missing}; name the '
            'keys in meta_keys of PackDetInputs, and have a RandomFlip (prob=0.0 for none) and a '
            'Resize before it'
        )


def flip_boxes(boxes: Tensor, meta: dict) -> Tensor:
    """Mirror boxes in the original image if the view is mirrored; its own inverse.

    Args:
        boxes: Float (..., 4 k), x1, y1, x2, y2 in pixels of the original image.
        meta: As in ``check_view``.
    """
    if not meta['flip']:
        return boxes
    return bbox_flip(boxes, meta['ori_shape'], meta['flip_direction'])


def boxes_into_view(boxes: Tensor, meta: dict) -> Tensor:
    """Map boxes of the original image into a view.

    Args:
        boxes: Float (..., 4 k), x1, y1, x2, y2 in pixels of the original image.
        meta: As in ``check_view``.

    Returns:
        Float32 of the same shape, in pixels of the network's input: half precision, which autocast
        leaves, is off by a pixel beyond 1024.
    """
    boxes = boxes.float()
    return flip_boxes(boxes, meta) * _factors(boxes, meta)


def boxes_from_view(boxes: Tensor, meta: dict) -> Tensor:
    """Map boxes of a view, (..., 4 k), back: the inverse of ``boxes_into_view``."""
    boxes = boxes.float()
    return flip_boxes(boxes / _factors(boxes, meta), meta)


def unflip_maps(maps: Tensor, meta: dict) -> Tensor:
    """Undo the flip of a view on what it sees in boxes, or in the whole image.

    Args:
        maps: (..., H, W).
        meta: As in ``check_view``.
    """
    if not meta['flip']:
        return maps
    return maps.flip(FLIPPED_DIMS[meta['flip_direction']])


def average_maps(views: Iterable[MaskMaps]) -> MaskMaps:
    """Average what the views say of the same boxes, one view at a time.

    Pasting interpolates linearly, so this is the average of the whole images' probabilities, made
    in the boxes.

    Args:
        views: The masks that every view sees, flips undone; there is at least one view. All of
            them score masks, or none.

    Returns:
        The average masks and IoUs, float32.
    """
    maps, ious, count = 0, 0, 0
    for seen in views:
        maps = maps + seen.maps.float()
        ious = None if seen.ious is None else ious + seen.ious.float()
        count += 1
    return MaskMaps(maps / count, None if ious is None else ious / count)


def _factors(boxes: Tensor, meta: dict) -> Tensor:
    return boxes.new_tensor(meta['scale_factor']).repeat(boxes.shape[-1] // 2)
