"""Four images around a point: where each lies and what the canvas shows of its objects."""

from collections.abc import Sequence
from typing import NamedTuple

import mmcv
import numpy as np

from mmdet.structures.bbox import BaseBoxes, HorizontalBoxes
from plugins.structures import CropMasks
from plugins.structures.windows import window_boxes
from plugins.transforms.composition import Window, count_pixels
from plugins.transforms.federated_lists import FederatedLists, read_lists, remove_objects


class Tile(NamedTuple):
    """Place of one image, in pixels of the canvas; it may reach beyond the canvas.

    Attributes:
        left: First column.
        top: First row.
        width: After resizing, the same for pixels and masks.
        height: Likewise.
        scale: Factor of the box coordinates; the sides are rounded down from it.
    """

    left: int
    top: int
    width: int
    height: int
    scale: float


class ObjectRules(NamedTuple):
    """Which objects of a mosaic keep their annotation.

    Attributes:
        min_box_side: Pixels, of either side.
        min_mask_area: Pixels.
        min_area_left: Share of the area that the canvas must show, in [0, 1].
        recompute_bbox: Whether a box that is more than a pixel off its mask is made tight.
    """

    min_box_side: float
    min_mask_area: float
    min_area_left: float
    recompute_bbox: bool


class TileObjects(NamedTuple):
    """What is annotated of one image on the canvas.

    Attributes:
        boxes: N boxes in pixels of the canvas.
        labels: int64 (N,).
        ignored: bool (N,).
        windows: x, y and crop of each object; None without masks.
        lists: Federated lists, None without.
    """

    boxes: BaseBoxes
    labels: np.ndarray
    ignored: np.ndarray
    windows: list[Window] | None
    lists: FederatedLists | None


def lay_tiles(
    shapes: Sequence[tuple[int, int]], center: tuple[int, int], cell: tuple[int, int]
) -> list[Tile]:
    """Place images so that each fits a cell and touches the centre with one corner.

    Args:
        shapes: Height, width of the top left, top right, bottom left and bottom right image.
        center: x, y on the canvas.
        cell: Width, height, half of the canvas.
    """
    tiles = []
    for k, (height, width) in enumerate(shapes):
        scale = min(cell[1] / height, cell[0] / width)
        width, height = max(1, int(width * scale)), max(1, int(height * scale))
        left = center[0] if k % 2 else center[0] - width
        top = center[1] if k >= 2 else center[1] - height
        tiles.append(Tile(left, top, width, height, scale))
    return tiles


def draw_tile(canvas: np.ndarray, image: np.ndarray, tile: Tile) -> None:
    """Resize an image into its place.

    Args:
        canvas: (H, W, C), is written to.
        image: (h, w, C).
        tile: Where the image belongs.
    """
    top, left = max(tile.top, 0), max(tile.left, 0)
    target = canvas[top : tile.top + tile.height, left : tile.left + tile.width]
    if image.shape[:2] != (tile.height, tile.width):
        image = mmcv.imresize(image, (tile.width, tile.height))
    top, left = top - tile.top, left - tile.left
    height, width = target.shape[:2]
    target[...] = image[top : top + height, left : left + width]


def lay_objects(
    results: dict,
    masks: CropMasks | None,
    tile: Tile,
    canvas: tuple[int, int],
    rules: ObjectRules,
) -> TileObjects:
    """Scale, move and cut what is annotated of an image, and leave out what is not worth keeping.

    An ignored region without any mask is judged by its box.

    Args:
        results: The sample of the image; it is not changed.
        masks: Its masks, or None to work with boxes alone.
        tile: Where the image lies.
        canvas: Height, width.
        rules: Which objects stay.
    """
    labels = results['gt_bboxes_labels']
    ignored = np.asarray(results['gt_ignore_flags'], bool)
    whole, boxes = _lay_boxes(results['gt_bboxes'], tile, canvas)
    inside = boxes.is_inside(canvas).numpy()
    if masks is None:
        windows = None
        gone = ~inside
        is_enough = (boxes.areas >= rules.min_area_left * whole.areas).numpy()
    else:
        windows, area, visible = _lay_masks(masks, tile, canvas)
        gone = (visible == 0) & (~inside | (area > 0))
        is_enough = (visible >= rules.min_mask_area) & (visible >= rules.min_area_left * area)
        is_enough |= ignored & (area == 0)
        if rules.recompute_bbox:
            boxes = _fit(boxes, windows, visible)
    is_wide = (boxes.widths >= rules.min_box_side) & (boxes.heights >= rules.min_box_side)
    kept = inside & is_enough & is_wide.numpy()
    lists = read_lists(results)
    if lists is not None:
        lists = remove_objects(
            lists,
            labels[kept].tolist(),
            labels[~kept & gone].tolist(),
            labels[~kept & ~gone].tolist(),
        )
    if windows is not None:
        windows = [windows[i] for i in np.flatnonzero(kept)]
    return TileObjects(boxes[kept], labels[kept], ignored[kept], windows, lists)


def _lay_boxes(
    boxes: BaseBoxes, tile: Tile, canvas: tuple[int, int]
) -> tuple[BaseBoxes, BaseBoxes]:
    """The boxes on the canvas, whole and cut; the same operations as mmdet's, for the same bits."""
    if isinstance(boxes, np.ndarray):
        boxes = HorizontalBoxes(boxes)
    whole = boxes.clone()
    whole.rescale_([tile.scale, tile.scale])
    whole.translate_([tile.left, tile.top])
    cut = whole.clone()
    cut.clip_(canvas)
    return whole, cut


def _lay_masks(
    masks: CropMasks, tile: Tile, canvas: tuple[int, int]
) -> tuple[list[Window], np.ndarray, np.ndarray]:
    """Windows on the canvas, and the area of every object before and after the canvas cuts it."""
    if (masks.height, masks.width) != (tile.height, tile.width):
        masks = masks.resize((tile.height, tile.width))
    windows = [(x + tile.left, y + tile.top, crop) for x, y, crop in masks.windows()]
    area = count_pixels(windows)
    visible = area.copy()
    for i, (x, y, crop) in enumerate(windows):
        height, width = crop.shape
        if x < 0 or y < 0 or x + width > canvas[1] or y + height > canvas[0]:
            windows[i] = _cut(x, y, crop, canvas)
            visible[i] = np.count_nonzero(windows[i][2])
    return windows, area, visible


def _cut(x: int, y: int, crop: np.ndarray, canvas: tuple[int, int]) -> Window:
    rows = slice(max(-y, 0), max(canvas[0] - y, 0))
    columns = slice(max(-x, 0), max(canvas[1] - x, 0))
    return max(x, 0), max(y, 0), np.ascontiguousarray(crop[rows, columns])


def _fit(boxes: BaseBoxes, windows: list[Window], visible: np.ndarray) -> BaseBoxes:
    """Tight boxes where the mask ends more than a pixel from the box: cut or thin objects."""
    tight = boxes.tensor.new_tensor(window_boxes(windows))
    is_off = (tight - boxes.tensor).abs().amax(dim=1) > 1
    is_off &= is_off.new_tensor(visible > 0)
    boxes = boxes.clone()
    boxes.tensor[is_off] = tight[is_off]
    return boxes
