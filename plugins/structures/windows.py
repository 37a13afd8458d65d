"""What a frame shows of an object: windows on its crop, and what can be read off them."""

import numpy as np

from plugins.compilation import compiled


@compiled
def find_windows(origins, shapes, rows, columns, windows):
    """Find the part of the output frame that shows each crop.

    Args:
        origins: int32 (N, 2), x, y of the crops in the source frame.
        shapes: int32 (N, 2), height, width of the crops.
        rows: int32 (H,), source row of every output row, negative for padding.
        columns: int32 (W,), likewise.
        windows: int32 (N, 4), is filled with x, y, width, height in the output frame; zeros where
            nothing of the crop is shown.
    """
    for i in range(len(origins)):
        left, right = _shown(columns, origins[i, 0], shapes[i, 1])
        top, bottom = _shown(rows, origins[i, 1], shapes[i, 0])
        if left < right and top < bottom:
            windows[i, 0], windows[i, 1] = left, top
            windows[i, 2], windows[i, 3] = right - left, bottom - top
        else:
            windows[i, 0], windows[i, 1], windows[i, 2], windows[i, 3] = 0, 0, 0, 0


@compiled
def _shown(index_map, start, size):
    """First and last + 1 output index that shows one of the source indices of a crop."""
    first, last = 0, len(index_map)
    while first < last and not start <= index_map[first] < start + size:
        first += 1
    while last > first and not start <= index_map[last - 1] < start + size:
        last -= 1
    return first, last


@compiled
def cut_window(crop, origin, rows, columns, window, out):
    """Copy what the output frame shows of a crop.

    Args:
        crop: uint8 (h, w), C-contiguous.
        origin: int32 (2,), x, y in the source frame.
        rows: int32 (H,), as in `find_windows`.
        columns: int32 (W,), likewise.
        window: int32 (4,), x, y, width, height in the output frame.
        out: uint8 (height, width) of the window, is filled.
    """
    height, width = crop.shape
    x0, y0 = origin[0], origin[1]
    left, top = window[0], window[1]
    before = -1
    for i in range(out.shape[0]):
        row = rows[top + i] - y0
        if row == before and i > 0:
            # Enlarging repeats rows; copying is faster than looking up.
            for j in range(out.shape[1]):
                out[i, j] = out[i - 1, j]
        else:
            for j in range(out.shape[1]):
                column = columns[left + j] - x0
                inside = 0 <= row < height and 0 <= column < width
                out[i, j] = crop[row, column] if inside else 0
        before = row


@compiled
def tight_box(crop, box):
    """Find the smallest box around the pixels of a mask that are not zero.

    Args:
        crop: uint8 (h, w), C-contiguous.
        box: int64 (4,), is filled with x1, y1, x2, y2 within the crop, the second corner exclusive;
            zeros if there are no such pixels.
    """
    height, width = crop.shape
    left, right, top, bottom = width, 0, height, 0
    for i in range(height):
        first = 0
        while first < width and crop[i, first] == 0:
            first += 1
        if first == width:
            continue
        last = width
        while crop[i, last - 1] == 0:
            last -= 1
        left, right = min(left, first), max(right, last)
        top, bottom = min(top, i), i + 1
    if right == 0:
        left, top = 0, 0
    box[0], box[1], box[2], box[3] = left, top, right, bottom


def cut_windows(
    crops: list[np.ndarray], origins: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> list[tuple[int, int, np.ndarray]]:
    """What a frame shows of objects.

    Args:
        crops: uint8 (h, w) each.
        origins: int32 (N, 2), x, y of the crops in the source frame.
        rows: int32 (H,), source row of every output row, negative for padding.
        columns: int32 (W,), likewise.

    Returns:
        Per object x, y in the output frame and the crop, uint8 (h, w).
    """
    shapes = np.array([crop.shape for crop in crops], np.int32).reshape(-1, 2)
    windows = np.empty((len(crops), 4), np.int32)
    find_windows(origins, shapes, rows, columns, windows)
    cut = []
    for crop, origin, window in zip(crops, origins, windows, strict=True):
        x, y, width, height = window.tolist()
        out = np.empty((height, width), np.uint8)
        cut_window(np.ascontiguousarray(crop), origin, rows, columns, window, out)
        cut.append((x, y, out))
    return cut


def window_boxes(windows: list[tuple[int, int, np.ndarray]]) -> np.ndarray:
    """Tight boxes of objects.

    Args:
        windows: per object x, y of the crop and the crop itself, uint8 (h, w).

    Returns:
        float32 (N, 4), x1, y1, x2, y2; zeros for an object without pixels.
    """
    boxes = np.zeros((len(windows), 4), np.int64)
    for box, (x, y, crop) in zip(boxes, windows, strict=True):
        tight_box(crop, box)
        if box[2]:
            box += (x, y, x, y)
    return boxes.astype(np.float32)
