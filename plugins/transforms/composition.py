"""Objects of one image on top of another: pixels, occlusion, and what is left of the others."""

from typing import NamedTuple

import cv2
import numpy as np

from mmdet.structures.bbox import BaseBoxes
from plugins.structures import CropMasks
from plugins.transforms.federated_lists import (
    add_objects,
    read_lists,
    remove_objects,
    write_lists,
)

Window = tuple[int, int, np.ndarray]


class Cover(NamedTuple):
    """The pixels that several objects cover together.

    Attributes:
        x: Column of the cover's corner in the canvas.
        y: Row of it.
        pixels: uint8 (h, w), 1 where covered.
    """

    x: int
    y: int
    pixels: np.ndarray

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas inside which everything covered lies."""
        height, width = self.pixels.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


class Occlusion(NamedTuple):
    """When an object that was partly covered is still worth its annotation.

    Attributes:
        box_shift: Pixels; it stays if no coordinate of its box moved by more than this.
        visible_area: Pixels; it stays, too, if more than this many of its mask are visible.
    """

    box_shift: float
    visible_area: float


def cover_of(windows: list[Window]) -> Cover:
    """Union of the masks of one or more objects.

    Args:
        windows: x, y and crop, uint8 (h, w) of 0 and 1, of each object; h, w > 0.
    """
    left, top = min(w[0] for w in windows), min(w[1] for w in windows)
    right = max(x + crop.shape[1] for x, _, crop in windows)
    bottom = max(y + crop.shape[0] for _, y, crop in windows)
    pixels = np.zeros((bottom - top, right - left), np.uint8)
    for x, y, crop in windows:
        height, width = crop.shape
        target = pixels[y - top : y - top + height, x - left : x - left + width]
        np.maximum(target, crop, out=target)
    return Cover(left, top, pixels)


def count_pixels(windows: list[Window]) -> np.ndarray:
    """Area of every mask in pixels, int64 (N,)."""
    # numpy counts booleans several times faster than it adds bytes.
    counts = (np.count_nonzero(crop.view(bool)) for _, _, crop in windows)
    return np.fromiter(counts, np.int64, len(windows))


def blend(image: np.ndarray, cover: Cover, pixels: np.ndarray) -> np.ndarray:
    """Replace the covered pixels.

    Args:
        image: uint8 or float32 (H, W, C) or (H, W); it is not changed.
        cover: What is replaced.
        pixels: (h, w, C) or (h, w), what the box of the cover shows afterwards where covered.

    Returns:
        A new image of the same type.
    """
    # A mirrored image is a view with strides that run backwards, on which numpy is slow.
    mirrored = mirroring(image)
    stored = image[mirrored].copy()
    target = stored[mirrored][cover.where][mirrored]
    pixels = upright(pixels[mirrored]).astype(image.dtype, copy=False)
    cv2.copyTo(pixels, upright(cover.pixels[mirrored]), target)
    return stored[mirrored]


def mirroring(image: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of an image in the order in which they lie in memory."""
    return tuple(slice(None, None, -1 if stride < 0 else 1) for stride in image.strides[:2])


def upright(image: np.ndarray) -> np.ndarray:
    """The same pixels with strides that run forwards, copied only if they do not."""
    rows, columns = mirrored = mirroring(image)
    if rows.step == columns.step == 1:
        return image
    # OpenCV: 0 mirrors the rows, 1 the columns, -1 both.
    return cv2.flip(image[mirrored], int(rows.step == 1) if rows.step != columns.step else -1)


def uncover(windows: list[Window], cover: Cover) -> tuple[list[Window], np.ndarray]:
    """Take the covered pixels away from masks.

    Args:
        windows: x, y and crop, uint8 (h, w), of each object; they are not changed.
        cover: The pixels to take away.

    Returns:
        The windows, new ones only for objects that lost pixels, and the positions of these, int64.
    """
    rows, columns = cover.where
    remaining, changed = list(windows), []
    for i, (x, y, crop) in enumerate(windows):
        left, right = max(x, columns.start), min(x + crop.shape[1], columns.stop)
        top, bottom = max(y, rows.start), min(y + crop.shape[0], rows.stop)
        if left >= right or top >= bottom:
            continue
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        covered = cover.pixels[top - cover.y : bottom - cover.y, left - cover.x : right - cover.x]
        visible = crop[part] & (1 - covered)
        if np.array_equal(visible, crop[part]):
            continue
        crop = crop.copy()
        crop[part] = visible
        remaining[i] = (x, y, crop)
        changed.append(i)
    return remaining, np.array(changed, np.int64)


def stays(shift: np.ndarray, visible: np.ndarray, rule: Occlusion) -> np.ndarray:
    """Which objects keep their annotation: mmdet's rule, and that something must be visible.

    Args:
        shift: float (N, 4), absolute change of the box coordinates, pixels.
        visible: int (N,), visible pixels of the mask.
        rule: The limits.

    Returns:
        bool (N,).
    """
    near = (shift <= rule.box_shift).all(axis=-1)
    return (near | (visible > rule.visible_area)) & (visible > 0)


def paste(
    results: dict,
    masks: CropMasks,
    pixels: np.ndarray,
    pasted: list[Window],
    labels: np.ndarray,
    rule: Occlusion,
) -> None:
    """Put objects on top of a sample and bring all that is annotated up to date.

    Objects that are still visible enough come first, the pasted ones after them. Ignored regions
    that have no mask stay as they are.

    Args:
        results: The sample; its values are replaced, not changed.
        masks: The masks of the sample.
        pixels: What the box of ``cover_of(pasted)`` shows of the other image.
        pasted: x, y in the sample and crop of every object to paste, at least one.
        labels: int64 (N,), their labels.
        rule: When an object that is partly covered keeps its annotation.
    """
    cover = cover_of(pasted)
    frame = masks.height, masks.width
    windows, changed = uncover(masks.windows(), cover)
    boxes, shift = _moved_boxes(results['gt_bboxes'], windows, changed, frame)
    visible = count_pixels(windows)
    was_visible = visible > 0
    was_visible[changed] = True
    ignored = np.asarray(results['gt_ignore_flags'], bool)
    kept = stays(shift, visible, rule) | (ignored & ~was_visible)
    results['img'] = blend(results['img'], cover, pixels)
    _update_lists(results, kept, hidden=was_visible & (visible == 0), pasted=labels)
    windows = [window for window, is_kept in zip(windows, kept, strict=True) if is_kept] + pasted
    results['gt_masks'] = CropMasks.from_windows(windows, *frame)
    new_boxes = CropMasks.from_windows(pasted, *frame).get_bboxes(type(boxes))
    results['gt_bboxes'] = boxes.cat([boxes[kept], new_boxes.to(boxes.dtype)])
    results['gt_bboxes_labels'] = np.concatenate([results['gt_bboxes_labels'][kept], labels])
    results['gt_ignore_flags'] = np.concatenate([ignored[kept], np.zeros(len(labels), bool)])


def _moved_boxes(
    boxes: BaseBoxes, windows: list[Window], changed: np.ndarray, frame: tuple[int, int]
) -> tuple[BaseBoxes, np.ndarray]:
    """Boxes, tight where the mask changed, and how far their coordinates moved."""
    changed_masks = CropMasks.from_windows([windows[i] for i in changed], *frame)
    tight = boxes.clone()
    tight.tensor[changed] = changed_masks.get_bboxes(type(boxes)).tensor.to(boxes.dtype)
    return tight, (tight.tensor - boxes.tensor).abs().numpy()


def _update_lists(results: dict, kept: np.ndarray, hidden: np.ndarray, pasted: np.ndarray) -> None:
    lists = read_lists(results)
    if lists is None:
        return
    labels = results['gt_bboxes_labels']
    present = labels[kept].tolist()
    lists = remove_objects(
        lists, present, labels[~kept & hidden].tolist(), labels[~kept & ~hidden].tolist()
    )
    write_lists(results, add_objects(lists, present, pasted.tolist()))
