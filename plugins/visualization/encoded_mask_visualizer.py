"""Detections drawn on their image, mask by mask within its box."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmengine.structures import InstanceData

from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmdet.visualization.palette import get_palette
from plugins.structures import EncodedMasks
from plugins.structures.segmentation_crops import crops_of_segmentations

FONT_SIZE = 13  # of a label on an image that is not larger than COMMON_SIDE
SMALLEST_FONT_SIZE = 6.5
LARGE_OBJECT = 30000  # pixels of a box, from which on its label has the full font size
COMMON_SIDE = 1333  # pixels, long side of an image; on larger ones lines and letters grow


@VISUALIZERS.register_module()
class EncodedMaskVisualizer(DetLocalVisualizer):
    """``DetLocalVisualizer`` that draws ``EncodedMasks`` without making them images.

    Stock holds two image-sized arrays per shown detection and blends the whole image once for
    each. Here the cost of a mask is that of its box. Masks lie under boxes and labels, small ones
    on large ones, and the labels of the best detections on top; a box that is not finite or whose
    corners are swapped is left out. Masks of other kinds, such as those of annotations, are drawn
    as by stock.

    Args:
        name: As in ``DetLocalVisualizer``.
        alpha: Opacity of masks and lines, from 0 to 1.
        **kwargs: As in ``DetLocalVisualizer``.
    """

    def __init__(self, name: str = 'visualizer', *, alpha: float = 0.5, **kwargs) -> None:
        super().__init__(name, alpha=alpha, **kwargs)

    def _draw_instances(
        self,
        image: np.ndarray,
        instances: InstanceData,
        classes: Sequence[str] | None,
        palette: str | Sequence[tuple] | None,
    ) -> np.ndarray:
        """Draw the instances on an RGB image, uint8 (H, W, 3), as stock does."""
        if not isinstance(instances.get('masks'), EncodedMasks):
            return super()._draw_instances(image, instances, classes, palette)
        labels = instances.labels.tolist()
        num_colors = max(labels, default=0) + 1
        mask_colors, box_colors = (
            get_palette(palette if own is None else own, num_colors)
            for own in (self.mask_color, self.bbox_color)
        )
        painted = paint_masks(
            image, instances.masks, [mask_colors[label] for label in labels], self.alpha
        )
        self.set_image(painted)
        boxes = instances.bboxes.numpy().reshape(-1, 4)
        shown = np.flatnonzero(_is_drawable(boxes))
        shown = shown[np.argsort(_scores(instances)[shown], kind='stable')]
        if len(shown):
            names = [_caption(instances, i, classes) for i in shown]
            self._draw_boxes(boxes[shown], [box_colors[labels[i]] for i in shown], names)
        return self.get_image()

    def _draw_boxes(
        self, boxes: np.ndarray, colors: list[tuple[int, int, int]], captions: list[str]
    ) -> None:
        """Draw boxes, float (N, 4), x1, y1, x2, y2, and write their captions into them."""
        zoom = max(1.0, max(self.width, self.height) / COMMON_SIDE)
        line_width = self.line_width * zoom
        self.draw_bboxes(boxes, edge_colors=colors, alpha=self.alpha, line_widths=line_width)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) / zoom**2
        sizes = np.maximum(FONT_SIZE * np.sqrt(areas / LARGE_OBJECT), SMALLEST_FONT_SIZE)
        frame = dict(facecolor='black', alpha=0.8, pad=0.7, edgecolor='none')
        self.draw_texts(
            captions,
            boxes[:, :2] + line_width,
            font_sizes=(np.minimum(sizes, FONT_SIZE) * zoom).tolist(),
            colors=get_palette(self.text_color, 1) * len(captions),
            bboxes=[frame] * len(captions),
        )


def paint_masks(
    image: np.ndarray,
    masks: EncodedMasks,
    colors: Sequence[tuple[int, int, int]],
    alpha: float,
) -> np.ndarray:
    """Blend the masks into an image, the largest first, and draw their outlines in white.

    Args:
        image: uint8 (H, W, 3).
        masks: Of the same size.
        colors: One per mask, in the image's order of channels.
        alpha: Opacity of the colour, from 0 to 1.

    Returns:
        A new image.
    """
    painted = np.ascontiguousarray(image).copy()
    rles = masks.rles()
    for i in np.argsort(-masks.areas, kind='stable'):
        (crop,), origins = crops_of_segmentations([rles[i]], masks.height, masks.width)
        if crop.size == 0:
            continue
        (x, y), (height, width) = origins[0].tolist(), crop.shape
        window = painted[y : y + height, x : x + width]
        flat = np.full_like(window, colors[i])
        blended = cv2.addWeighted(window, 1 - alpha, flat, alpha, 0)
        np.copyto(window, blended, where=crop[..., None] != 0)
        outlines, _ = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        # Into the window: a line along its edge is cut, not drawn on neighbouring pixels.
        cv2.drawContours(window, outlines, -1, (255, 255, 255), 1, cv2.LINE_AA)
    return painted


def _is_drawable(boxes: np.ndarray) -> np.ndarray:
    return np.isfinite(boxes).all(1) & (boxes[:, 2:] >= boxes[:, :2]).all(1)


def _scores(instances: InstanceData) -> np.ndarray:
    if 'scores' in instances:
        return instances.scores.numpy()
    return np.zeros(len(instances))


def _caption(instances: InstanceData, index: int, classes: Sequence[str] | None) -> str:
    label = int(instances.labels[index])
    name = f'class {label}' if classes is None else classes[label]
    return f'{name}: {100 * instances.scores[index]:.1f}' if 'scores' in instances else name
