"""InstaBoost: objects move a little in their own image."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmdet.registry import TRANSFORMS
from plugins.errors import UserError
from plugins.structures.segmentation_crops import crops_of_segmentations
from plugins.transforms.argument_checks import (
    check_at_least,
    check_count,
    check_probability,
    check_range,
)
from plugins.transforms.insta_boost_motion import (
    Motion,
    bounds,
    draw_motion,
    move_polygons,
    overlapping_groups,
    paste_moved,
)

INPAINT_RADIUS = 5  # pixels


@TRANSFORMS.register_module()
class InstaBoostPolygons(BaseTransform):
    """Shift, scale and turn the objects of an image slightly, over an inpainted background.

    The random jitter of InstaBoost (Fang et al. 2019, section 3.2), written anew: objects whose
    boxes overlap move together, the pixels that they leave are inpainted, and their polygons and
    boxes follow. It is an entry of ``train_pipeline`` between ``LoadImageFromFile`` and
    ``LoadAnnotations``, before any change of size.

    Crowd regions, objects without polygons and objects that would leave the image stay where they
    are, and the pixels of all of them but the crowds are neither inpainted nor covered. No object
    and no category is added or lost, so that the federated lists stay true. Masks are not cut
    where two groups come to overlap. For the colour change of the paper see
    ``RoundedPhotoMetricDistortion``.

    Args:
        prob: Probability that an image is changed, in [0, 1].
        shift_divisor: The largest shift is the side of the group's box over this; at least 1.
        scale_range: Smallest and largest scale of a group, larger than 0.
        max_degrees: Largest rotation either way.

    Raises:
        UserError: An option is out of range.
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        shift_divisor: int = 15,
        scale_range: tuple[float, float] = (0.8, 1.2),
        max_degrees: float = 1.0,
    ) -> None:
        check_probability(self, prob=prob)
        check_count(self, shift_divisor=shift_divisor)
        check_range(self, scale_range=scale_range)
        check_at_least(self, 0, max_degrees=max_degrees)
        self.prob = prob
        self.shift_divisor = shift_divisor
        self.scale_range = tuple(scale_range)
        self.max_degrees = max_degrees

    def transform(self, results: dict) -> dict:
        """Change the image and the records of its objects.

        Args:
            results: Has ``img``, uint8 (H, W, 3), and ``instances``, records with ``bbox`` xyxy,
                ``mask`` (polygons) and ``ignore_flag``; masks are not loaded yet.

        Returns:
            The same dict with a new image and new records; what it held is not changed in place.

        Raises:
            UserError: The transform stands at the wrong place in the pipeline.
        """
        self._check_place(results)
        if np.random.rand() >= self.prob:
            return results
        instances, shape = results['instances'], results['img'].shape[:2]
        movable = [number for number, instance in enumerate(instances) if _is_movable(instance)]
        if not movable:
            return results
        motions = self._draw_motions([instances[number] for number in movable], shape)
        moving = {number: m for number, m in zip(movable, motions, strict=True) if m is not None}
        results['img'] = _compose(results['img'], instances, moving)
        results['instances'] = [
            _moved(instance, moving[number], shape) if number in moving else instance
            for number, instance in enumerate(instances)
        ]
        return results

    def _check_place(self, results: dict) -> None:
        image = results.get('img')
        usable = image is not None and image.dtype == np.uint8 and image.shape[2:] == (3,)
        if not usable or 'gt_masks' in results or 'instances' not in results:
            raise UserError(
                'train_pipeline: InstaBoostPolygons needs a colour image of type uint8 and '
                'annotations that are not loaded; put it right after LoadImageFromFile'
            )

    def _draw_motions(self, instances: list[dict], shape: tuple[int, int]) -> list[Motion | None]:
        """Draw one motion per group; None for those that stay where they are."""
        boxes = np.array([bounds(instance['mask'], shape) for instance in instances])
        motions: list[Motion | None] = [None] * len(instances)
        for group in overlapping_groups(boxes):
            around = np.concatenate([boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)])
            motion = draw_motion(
                around,
                shape,
                shift_divisor=self.shift_divisor,
                scale_range=self.scale_range,
                max_degrees=self.max_degrees,
            )
            after = [bounds(move_polygons(instances[i]['mask'], motion), shape) for i in group]
            if all((box[2:] - box[:2] >= 1).all() for box in after):
                for i in group:
                    motions[i] = motion
        return motions

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, shift_divisor={self.shift_divisor}, '
            f'scale_range={self.scale_range}, max_degrees={self.max_degrees})'
        )


def _is_movable(instance: dict) -> bool:
    polygons = instance.get('mask')
    if instance['ignore_flag'] or not isinstance(polygons, list) or not polygons:
        return False
    # What LoadAnnotations replaces by nothing has no pixels to move.
    return all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)


def _moved(instance: dict, motion: Motion, shape: tuple[int, int]) -> dict:
    polygons = move_polygons(instance['mask'], motion)
    return {**instance, 'mask': polygons, 'bbox': bounds(polygons, shape).tolist()}


def _compose(image: np.ndarray, instances: list[dict], moving: dict[int, Motion]) -> np.ndarray:
    """Return the image, uint8 (H, W, 3), after each group made its motion."""
    shape = image.shape[:2]
    drawn = [number for number in range(len(instances)) if _has_pixels(instances[number])]
    masks = [instances[number]['mask'] for number in drawn]
    crops, origins = crops_of_segmentations(masks, *shape)
    protected = np.zeros(shape, dtype=bool)
    groups: dict[Motion, np.ndarray] = {}
    for number, crop, (x, y) in zip(drawn, crops, origins.tolist(), strict=True):
        window = np.s_[y : y + crop.shape[0], x : x + crop.shape[1]]
        if number in moving:
            pixels = groups.setdefault(moving[number], np.zeros(shape, np.uint8))
            pixels[window] |= crop * np.uint8(255)
        else:
            protected[window] |= crop > 0
    if not groups:
        return image
    for pixels in groups.values():
        pixels[protected] = 0
    left = np.maximum.reduce(list(groups.values()))
    canvas = cv2.inpaint(image, left, INPAINT_RADIUS, cv2.INPAINT_NS)
    for motion, pixels in groups.items():
        paste_moved(canvas, image, pixels, motion, protected)
    return canvas


def _has_pixels(instance: dict) -> bool:
    """Whether the object hides the background and its mask can be drawn; crowds are too vague."""
    is_code = isinstance(instance.get('mask'), dict)
    return _is_movable(instance) or (is_code and not instance['ignore_flag'])
