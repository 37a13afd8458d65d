"""RoIAlign of masks that reads only the crops of the objects.

The sampling points and every float32 operation are those of RoIAlign (He et al., 2017) in mmcv and
torchvision on the whole image, with half-pixel alignment and about one sample per pixel, so the
results are the same numbers.
"""

import numpy as np

from plugins.compilation import compiled

_HALF = np.float32(0.5)
_ONE = np.float32(1)


def align_crops(
    windows: list[tuple[int, int, np.ndarray]],
    frame: tuple[int, int],
    boxes: np.ndarray,
    objects: np.ndarray,
    size: tuple[int, int],
    binarize: bool,
) -> np.ndarray:
    """Sample the mask of an object in each box.

    Args:
        windows: per object x, y in the image and the crop, uint8 (h, w).
        frame: height, width of the image.
        boxes: float32 (R, 4), x1, y1, x2, y2 in image pixels.
        objects: int64 (R,), index of the object for each box.
        size: bins (rows, columns) per box.
        binarize: whether to compare with 0.5; then only the bins at the edge of an object are
            sampled.

    Returns:
        bool (R, rows, columns) if binarised, otherwise float32, NaN for a box that is not finite.
    """
    targets = np.zeros((len(boxes), *size), np.float32)
    finite = np.isfinite(boxes).all(axis=1)
    targets[~finite] = np.nan
    order = np.argsort(objects, kind='stable')
    order = order[finite[order]]
    chosen, starts = np.unique(objects[order], return_index=True)
    for i, rois in zip(chosen, np.split(order, starts)[1:], strict=True):
        x, y, crop = windows[i]
        _align_crop(np.ascontiguousarray(crop), x, y, *frame, boxes, rois, binarize, targets)
    return targets >= _HALF if binarize else targets


@compiled
def _align_crop(crop, x, y, height, width, boxes, rois, binarize, targets):
    """Fill the targets of the RoIs of one object; arguments as in `align_crops`."""
    padded, counts = _pad_and_count(crop)
    for i in rois:
        x1, y1, x2, y2 = boxes[i]
        rows = _axis_points(y1, y2, targets.shape[1], height, y, crop.shape[0])
        columns = _axis_points(x1, x2, targets.shape[2], width, x, crop.shape[1])
        if rows[0].size > 0 and columns[0].size > 0:
            _fill_bins(padded, counts, rows, columns, binarize, targets[i])


@compiled
def _pad_and_count(crop):
    """Put zeros around a crop, so that no look-up needs a test, and count its pixels.

    Returns:
        uint8 (h + 2, w + 2); int32 (h + 2, w + 2), pixels of the mask above and to the left of each
        of those.
    """
    height, width = crop.shape
    padded = np.zeros((height + 2, width + 2), np.uint8)
    counts = np.zeros((height + 2, width + 2), np.int32)
    for i in range(height):
        in_row = np.int32(0)
        for j in range(width):
            padded[i + 1, j + 1] = crop[i, j]
            in_row += np.int32(crop[i, j] != 0)
            counts[i + 2, j + 2] = counts[i + 1, j + 2] + in_row
    return padded, counts


@compiled
def _axis_points(start, end, bins, size, first, length):
    """Sampling points of a box along one axis.

    Args:
        start: float32, the box's first coordinate.
        end: float32, its last.
        bins: of the box along this axis.
        size: pixels of the image.
        first: pixel of the image where the crop begins.
        length: pixels of the crop.

    Returns:
        int64 (bins, P, 2), pixels of the padded crop before and after each point, in its border if
        they are outside the crop; float32 (bins, P, 2), their weights, 0 outside the image.
    """
    start, end = start - _HALF, end - _HALF
    step = (end - start) / np.float32(bins)
    num_points = max(np.int64(np.ceil(step)), 0)
    pixels = np.empty((bins, num_points, 2), np.int64)
    weights = np.zeros((bins, num_points, 2), np.float32)
    for i in range(bins):
        for j in range(num_points):
            inside = (np.float32(j) + _HALF) * step / np.float32(num_points)
            point = start + np.float32(i) * step + inside
            if point < -_ONE or point > np.float32(size):
                pixels[i, j] = 0 if point < 0 else length + 1
                continue
            point = max(point, np.float32(0))
            low = min(np.int64(point), size - 1)
            high = min(low + 1, size - 1)
            rest = point - np.float32(low) if low < high else np.float32(0)
            weights[i, j, 0], weights[i, j, 1] = _ONE - rest, rest
            pixels[i, j, 0] = min(max(low - first, -1), length) + 1
            pixels[i, j, 1] = min(max(high - first, -1), length) + 1
    return pixels, weights


@compiled
def _fill_bins(padded, counts, rows, columns, binarize, target):
    """Fill the bins (rows, columns) of one RoI."""
    height, width = padded.shape
    for i in range(target.shape[0]):
        row_pixels, row_weights = rows[0][i], rows[1][i]
        top, bottom = row_pixels[0, 0], row_pixels[-1, 1] + 1
        top_inside, bottom_inside = max(top, 1), min(bottom, height - 1)
        if top_inside >= bottom_inside:
            continue
        for j in range(target.shape[1]):
            column_pixels, column_weights = columns[0][j], columns[1][j]
            left, right = column_pixels[0, 0], column_pixels[-1, 1] + 1
            left_inside, right_inside = max(left, 1), min(right, width - 1)
            if left_inside >= right_inside:
                continue
            shown = counts[bottom_inside, right_inside] - counts[bottom_inside, left_inside]
            shown -= counts[top_inside, right_inside] - counts[top_inside, left_inside]
            if binarize and shown == (bottom - top) * (right - left):
                target[i, j] = _ONE
            elif shown > 0:
                target[i, j] = _average(
                    padded, row_pixels, row_weights, column_pixels, column_weights
                )


@compiled
def _average(padded, row_pixels, row_weights, column_pixels, column_weights):
    """Mean of the bilinear samples of one bin."""
    total = np.float32(0)
    for i in range(len(row_pixels)):
        upper, lower = padded[row_pixels[i, 0]], padded[row_pixels[i, 1]]
        upper_weight, lower_weight = row_weights[i]
        for j in range(len(column_pixels)):
            left, right = column_pixels[j]
            left_weight, right_weight = column_weights[j]
            sample = upper_weight * left_weight * np.float32(upper[left])
            sample += upper_weight * right_weight * np.float32(upper[right])
            sample += lower_weight * left_weight * np.float32(lower[left])
            sample += lower_weight * right_weight * np.float32(lower[right])
            total += sample
    return total / np.float32(len(row_pixels) * len(column_pixels))
