"""Masks of boxes as run-length codes of the image, without the image.

The probabilities of a box are values at a grid of points in the box, zero around them, and bilinear
between four of them. An image column sees them blended from two columns of points, and linear
between two points: if both are above the threshold (or below), so are all pixels between them.
Only where the threshold is crossed, single pixels are looked at.
"""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled
from plugins.structures.paste_axes import divide, new_axis
from plugins.structures.run_lengths import LONGEST_NUMBER, measure_mask, write_code

TIE = np.float32(2e-6)
"""Within this distance of the threshold, a value is computed in the order of ``grid_sample``."""
BELOW, ABOVE = 1, 2
"""Where a value surely lies; zero where it is near the threshold."""
FLATTEST = np.float32(1e-5)
"""Change of the values from pixel to pixel with which rounding does not move a crossing by one."""
FARTHEST = np.float32(4096)
"""Pixels between two points up to which the same is true."""
FULL = -1
NOWHERE = -1

_ONE = np.float32(1)


class Column(NamedTuple):
    """What an image column sees of the points of a box.

    Args:
        values: float32 (n,), from top to bottom.
        sides: int32 (n,), of the threshold: `BELOW`, `ABOVE` or 0.
        crossings: int64 (n,), the points that are not surely on the side of the next one, of which
            the last one has none.
    """

    values: np.ndarray
    sides: np.ndarray
    crossings: np.ndarray


@compiled
def paste_and_encode(maps, boxes, height, width, threshold, areas, tight, lengths):
    """Write the codes of masks.

    Args:
        maps: float32 (N, h, w), probabilities at the points of each box.
        boxes: float32 (N, 4), x1, y1, x2, y2 in pixels of the image.
        height: of the image.
        width: of the image.
        threshold: float32, from which on a pixel belongs to the mask.
        areas: int64 (N,), is filled with the pixels of each mask.
        tight: int32 (N, 4), with x1, y1, x2, y2 of each mask, zeros where it is empty.
        lengths: int64 (N,), with the characters of each code.

    Returns:
        uint8, the codes one after another and unused space.
    """
    num_rows, num_columns = maps.shape[1:]
    x_axis, y_axis = new_axis(width), new_axis(height)
    grid = np.empty((num_columns + 4, num_rows + 4), np.float32)
    text = np.empty(4096 + 256 * len(maps), np.uint8)
    borders = np.empty(4096, np.int32)
    # A plain 0 is a type of its own, for which everything below would be compiled once more.
    place = np.int64(0)
    for i in range(len(maps)):
        columns = divide(x_axis, boxes[i, 0], boxes[i, 2], num_columns)
        rows = divide(y_axis, boxes[i, 1], boxes[i, 3], num_rows)
        if columns > grid.shape[0] or rows > grid.shape[1]:
            grid = np.empty((columns, rows), np.float32)
        _gather(maps[i], x_axis.points[:columns], y_axis.points[:rows], grid)
        pitch = (boxes[i, 3] - boxes[i, 1]) / np.float32(num_rows)
        size = (columns, rows)
        count = _scan(grid, size, x_axis, y_axis, pitch, threshold, borders)
        while count == FULL:
            borders = np.empty(2 * len(borders), np.int32)
            count = _scan(grid, size, x_axis, y_axis, pitch, threshold, borders)
        if place + LONGEST_NUMBER * count > len(text):
            text = _grown(text, place, place + LONGEST_NUMBER * count)
        areas[i] = measure_mask(borders, count, height, tight[i])
        end = write_code(borders, count, text, place)
        lengths[i] = end - place
        place = end
    return text


@compiled
def _gather(points, x_points, y_points, grid):
    """Copy the points that axes keep, columns first; those around the others are zero."""
    for i in range(len(x_points)):
        column = x_points[i]
        for j in range(len(y_points)):
            row = y_points[j]
            inside = 0 <= column < points.shape[1] and 0 <= row < points.shape[0]
            grid[i, j] = points[row, column] if inside else np.float32(0)


@compiled
def _scan(grid, size, x_axis, y_axis, pitch, threshold, borders):
    """Find where a mask changes, in column-major order.

    Args:
        grid: float32, values of the points that the axes keep.
        size: number of columns and of rows of points, zeros for an empty mask.
        x_axis: `Axis` of the image's columns.
        y_axis: `Axis` of its rows.
        pitch: rows from point to point, float32.
        threshold: float32.
        borders: int32, is filled with the pixels at which the mask changes, starting outside, and
            with the number of pixels of the image.

    Returns:
        How many there are, or `FULL`.
    """
    width, height = len(x_axis.cells), len(y_axis.cells)
    _, x_shares, _, _, x_starts = x_axis
    num_columns, num_rows = size
    count = np.int64(0)
    if num_columns > 0 and num_rows > 0:
        top, bottom = y_axis.starts[0], y_axis.starts[num_rows - 1]
        column = _new_column(num_rows)
        for c in range(num_columns - 1):
            for x in range(x_starts[c], x_starts[c + 1]):
                if count + bottom - top + 3 > len(borders):
                    return FULL
                num_crossings = _blend(grid, c, x_shares[x], threshold, column)
                place = (c, x_shares[x], x * height)
                count = _trace(
                    grid, place, column, num_crossings, y_axis, pitch, threshold, borders, count
                )
                if top > 0 or bottom < height:
                    borders[count] = x * height + bottom
                    count += count & 1
        if x_starts[num_columns - 1] < width:
            borders[count] = x_starts[num_columns - 1] * height
            count += count & 1
    if count == 0 or borders[count - 1] < height * width:
        borders[count] = height * width
        count += 1
    return count


@compiled
def _new_column(size):
    """Space for a `Column` of ``size`` points."""
    return Column(np.empty(size, np.float32), np.empty(size, np.int32), np.empty(size, np.int64))


@compiled
def _blend(grid, c, share, threshold, column):
    """Fill a `Column`.

    Args:
        grid: float32, as in `_scan`.
        c: its column to the left of the pixels; the next one is to the right.
        share: of the latter, float32.
        threshold: float32.
        column: is filled.

    Returns:
        Number of crossings.
    """
    values, sides, crossings = column
    low, high = threshold - TIE, threshold + TIE
    rest = _ONE - share
    for r in range(len(values)):
        value = grid[c, r] * rest + grid[c + 1, r] * share
        values[r] = value
        sides[r] = BELOW * np.int32(value < low) | ABOVE * np.int32(value > high)
    # Which points are crossings is hard to foresee for a processor: hence no branches.
    count = 0
    for r in range(len(values) - 1):
        crossings[count] = r
        count += (sides[r] & sides[r + 1]) == 0
    return count


@compiled
def _trace(grid, place, column, num_crossings, y_axis, pitch, threshold, borders, count):
    """Find where the mask changes in an image column.

    A border is always written, and counted if the mask does change there: it is outside after an
    even number of borders.

    Args:
        grid: float32, as in `_scan`.
        place: of the image column: the grid's column to its left, the share of the next one, and
            the number of its first pixel.
        column: a `Column`.
        num_crossings: of the column.
        y_axis: `Axis` of the image's rows.
        pitch: rows from point to point.
        threshold: float32.
        borders: int32, is filled from ``count`` on.
        count: of borders before the column.

    Returns:
        The number of borders after it.
    """
    c, share, base = place
    values, sides, crossings = column
    _, shares, _, _, starts = y_axis
    row = starts[0]
    for i in range(num_crossings):
        r = crossings[i]
        start, end = starts[r], starts[r + 1]
        upper, lower = values[r], values[r + 1]
        y = NOWHERE
        if sides[r] | sides[r + 1] == BELOW | ABOVE:
            y = _find_crossing(upper, lower, threshold, shares, start, end, pitch)
        if y != NOWHERE:
            rises = lower > upper
            borders[count] = base + row
            count += ((count & 1) == rises) & (row < y)
            borders[count] = base + y
            count += ((count & 1) != rises) & (y < end)
        else:
            borders[count] = base + row
            count += ((count & 1) != (sides[r] == ABOVE)) & (row < start)
            for y in range(start, end):
                value = upper * (_ONE - shares[y]) + lower * shares[y]
                if abs(value - threshold) < TIE:
                    value = _four_taps(grid, c, r, share, shares[y])
                borders[count] = base + y
                count += (count & 1) != (value >= threshold)
        row = end
    last = len(values) - 1
    borders[count] = base + row
    count += ((count & 1) != (sides[last] == ABOVE)) & (row < starts[last])
    return count


@compiled
def _find_crossing(upper, lower, threshold, shares, start, end, pitch):
    """Find the row at which a column reaches the side of its lower point.

    Values are linear: the row is computed, and compared are the two rows that rounding leaves.

    Args:
        upper: value of the point above, float32, surely on one side of the threshold.
        lower: of the point below, surely on the other side.
        threshold: float32.
        shares: float32, of the point below in each row.
        start: first row between the points.
        end: row after the last one.
        pitch: rows from point to point.

    Returns:
        The row, ``end`` if all rows are on the upper side, or `NOWHERE` if this cannot tell.
    """
    change = lower - upper
    if start == end or pitch > FARTHEST or abs(change) < FLATTEST * pitch:
        return NOWHERE
    guess = start + max(np.int64(((threshold - upper) / change - shares[start]) * pitch), 0)
    one, other = min(guess, end - 1), min(guess + 1, end - 1)
    of_one = upper * (_ONE - shares[one]) + lower * shares[one] - threshold
    of_other = upper * (_ONE - shares[other]) + lower * shares[other] - threshold
    if abs(of_one) < TIE or abs(of_other) < TIE:
        return NOWHERE
    rises = change > 0
    before = ((of_one > 0) != rises) & (guess < end)
    return min(guess, end) + before + (((of_other > 0) != rises) & (guess + 1 < end))


@compiled
def _four_taps(grid, c, r, share, below):
    """A value as ``grid_sample`` computes it; shares are those of the right and lower points."""
    rest, above = _ONE - share, _ONE - below
    value = grid[c, r] * (above * rest) + grid[c + 1, r] * (above * share)
    return value + grid[c, r + 1] * (below * rest) + grid[c + 1, r + 1] * (below * share)


@compiled
def _grown(text, used, size):
    """A copy of the used part with room for ``size``, and for twice as much as before."""
    larger = np.empty(max(size, 2 * len(text)), np.uint8)
    for i in range(used):
        larger[i] = text[i]
    return larger
