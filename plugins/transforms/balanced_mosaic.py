"""Mosaic whose partners come from the repeat-factor distribution."""

from collections.abc import Sequence

import numpy as np

from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type
from plugins.errors import UserError
from plugins.structures import CropMasks
from plugins.transforms.argument_checks import (
    check_at_least,
    check_probability,
    check_range,
    check_size,
)
from plugins.transforms.federated_lists import merge_images, write_lists
from plugins.transforms.mixing_transform import MixingTransform
from plugins.transforms.mosaic_tiles import (
    ObjectRules,
    TileObjects,
    draw_tile,
    lay_objects,
    lay_tiles,
)

STALE_KEYS = ('homography_matrix', 'scale', 'keep_ratio', 'pad_shape', 'pad_fixed_size')


@TRANSFORMS.register_module()
class BalancedMosaic(MixingTransform):
    """Put four images around a random point, the partners drawn by their repeat factors.

    The canvas is twice ``img_scale``. Every image is resized to fit ``img_scale`` and touches the
    random point with one corner, so images never overlap; the canvas may cut them. The training
    image is the top left one (the sampler has drawn it by repeat factor already), the three others
    are drawn with probability r_I / sum r and go through all transforms before this one. The winner
    of the LVIS 2021 challenge applies it to half of the images and resizes the result like any
    other image, so a resizing step should follow.

    For what follows, the canvas is the original image: ``ori_shape`` and ``img_shape`` are its size
    and ``scale_factor`` is 1, so predictions mapped back lie on the canvas; ``img_id`` and
    ``img_path`` remain those of the training image. The geometry of earlier transforms
    (``homography_matrix`` and the like) is dropped, for the parts have no common one.

    Required and modified keys: img, gt_bboxes, gt_bboxes_labels, gt_ignore_flags; gt_masks,
    neg_labels and not_exhaustive_labels where present. Set keys: img_shape, ori_shape,
    scale_factor, flip, flip_direction.

    Args:
        prob: Probability of a mosaic, decided before partners are loaded.
        img_scale: Width, height of the largest part, pixels; the canvas has twice of both.
        center_ratio_range: Limits of the random point, relative to ``img_scale``, at most 2.
        pad_val: Value of pixels without image.
        repeat_threshold: Threshold t of the repeat factors; 0 draws partners uniformly, which is
            the plain mosaic.
        min_box_side: Pixels; objects with a smaller side are dropped, as are all below. What is
            dropped although something of it is visible makes its category not exhaustive.
        min_mask_area: Pixels that must be visible.
        min_area_left: Share of the object that must be visible after the canvas cut it.
        recompute_bbox: Make boxes that are more than a pixel off their mask tight, such as those of
            objects that the canvas cuts; otherwise boxes are only scaled, moved and clipped, as in
            mmdet's ``Mosaic``.

    Raises:
        UserError: An option is out of range.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        img_scale: tuple[int, int] = (1333, 800),
        center_ratio_range: tuple[float, float] = (0.5, 1.5),
        pad_val: float = 114.0,
        repeat_threshold: float = 1e-3,
        min_box_side: float = 2,
        min_mask_area: float = 4,
        min_area_left: float = 0.1,
        recompute_bbox: bool = True,
    ) -> None:
        super().__init__(prob, repeat_threshold)
        check_size(self, img_scale=img_scale)
        check_range(self, center_ratio_range=center_ratio_range)
        if center_ratio_range[1] > 2:
            raise UserError(
                f'train_pipeline: BalancedMosaic.center_ratio_range={center_ratio_range!r} must '
                'not exceed 2, the edge of the canvas'
            )
        check_at_least(self, 0, pad_val=pad_val)
        check_at_least(self, 0, min_box_side=min_box_side, min_mask_area=min_mask_area)
        check_probability(self, min_area_left=min_area_left)
        self.img_scale = tuple(img_scale)
        self.center_ratio_range = tuple(center_ratio_range)
        self.pad_val = pad_val
        self.rules = ObjectRules(min_box_side, min_mask_area, min_area_left, recompute_bbox)

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Make a mosaic, or leave the sample as it is.

        Raises:
            UserError: A sample carries something that cannot be mixed, or no partners could be had.
        """
        if not self.is_due():
            return results
        parts = [results, *(self.load_partner(self.earlier)[0] for _ in range(3))]
        for part in parts:
            self.check_mixable(part)
        return self.compose(parts, self.draw_center())

    def draw_partner(self) -> tuple[int, None]:
        """Draw an image by its repeat factor."""
        return self.draws.draw_image(), None

    def draw_center(self) -> tuple[int, int]:
        """Draw x, y of the point at which the images meet, on the canvas."""
        x, y = (int(np.random.uniform(*self.center_ratio_range) * side) for side in self.img_scale)
        return x, y

    def compose(self, parts: Sequence[dict], center: tuple[int, int]) -> dict:
        """Put four samples together.

        Args:
            parts: Samples for the top left, top right, bottom left and bottom right; only the
                first is changed: it gets the values of the mosaic.
            center: x, y on the canvas at which they meet.

        Returns:
            The first sample.

        Raises:
            UserError: Masks are no bitmaps.
        """
        width, height = 2 * self.img_scale[0], 2 * self.img_scale[1]
        images = [part['img'] for part in parts]
        tiles = lay_tiles([image.shape[:2] for image in images], center, self.img_scale)
        with_masks = 'gt_masks' in parts[0]
        objects = [
            lay_objects(
                part,
                self.crop_masks(part) if with_masks else None,
                tile,
                (height, width),
                self.rules,
            )
            for part, tile in zip(parts, tiles, strict=True)
        ]
        results = parts[0]
        _write_objects(results, objects, (height, width))
        canvas = np.full((height, width, *images[0].shape[2:]), self.pad_val, images[0].dtype)
        for image, tile in zip(images, tiles, strict=True):
            draw_tile(canvas, image, tile)
        results['img'] = canvas
        _restart_geometry(results, (height, width))
        return results

    def __repr__(self) -> str:
        return (
            f'BalancedMosaic(prob={self.prob}, img_scale={self.img_scale}, '
            f'center_ratio_range={self.center_ratio_range}, pad_val={self.pad_val}, '
            f'repeat_threshold={self.repeat_threshold}, min_box_side={self.rules.min_box_side}, '
            f'min_mask_area={self.rules.min_mask_area}, '
            f'min_area_left={self.rules.min_area_left}, '
            f'recompute_bbox={self.rules.recompute_bbox})'
        )


def _write_objects(results: dict, parts: Sequence[TileObjects], canvas: tuple[int, int]) -> None:
    results['gt_bboxes'] = parts[0].boxes.cat([part.boxes for part in parts])
    results['gt_bboxes_labels'] = np.concatenate([part.labels for part in parts])
    results['gt_ignore_flags'] = np.concatenate([part.ignored for part in parts])
    if parts[0].windows is not None:
        windows = [window for part in parts for window in part.windows]
        results['gt_masks'] = CropMasks.from_windows(windows, *canvas)
    if all(part.lists is not None for part in parts):
        images = [(part.lists, part.labels.tolist()) for part in parts]
        write_lists(results, merge_images(images))


def _restart_geometry(results: dict, canvas: tuple[int, int]) -> None:
    """Describe the canvas as an image that has just been loaded."""
    for key in STALE_KEYS:
        results.pop(key, None)
    results.update(img_shape=canvas, ori_shape=canvas, scale_factor=(1.0, 1.0))
    if 'flip' in results:
        results.update(flip=False, flip_direction=None)
