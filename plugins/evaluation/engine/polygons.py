"""Polygons to pixel intervals by COCO's rule, without drawing their outlines.

The mask API of pycocotools scales a polygon by five, draws its outline point by point, and lets
every step from scaled column ``5c + 2`` to ``5c + 3`` switch the mask on or off from a row of
column ``c`` on. Here each edge is asked for these steps directly, so its cost is that of the
columns it crosses, and an outline far outside of the image costs nothing.
"""

import numpy as np

from plugins.compilation import compiled

LARGEST_COORDINATE = 1e6
"""Pixels. Coordinates beyond it are errors; below it, scaled ones fit in 32 bits."""


def rasterise(
    xy: np.ndarray,
    ring_offset: np.ndarray,
    mask_offset: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill polygons; the rings of a mask are united.

    Equal to ``frPyObjects`` and ``merge`` of pycocotools.

    Args:
        xy: float64 (P,), x and y in turn, pixels; finite and at most `LARGEST_COORDINATE`.
        ring_offset: int64 (R + 1,), where the coordinates of each ring begin in ``xy``; even.
        mask_offset: int64 (N + 1,), where the rings of each mask begin.
        height: int32 (N,), rows of the mask's image; height * width < 2^31.
        width: int32 (N,).

    Returns:
        int64 (N + 1,), where the intervals of each mask begin, and their int32 starts and ends:
        half-open, ascending and disjoint ranges of ``x * height + y``.
    """
    crossings = np.zeros(len(mask_offset) - 1, np.int64)
    _count_crossings(xy, ring_offset, mask_offset, width, crossings)
    total = int(crossings.sum()) // 2
    start, end = np.empty(total, np.int32), np.empty(total, np.int32)
    offset = np.zeros(len(mask_offset), np.int64)
    largest = int(crossings.max(initial=0))
    cursor = np.zeros(int(width.max(initial=0)) + 1, np.int32)
    scratch = np.empty((2, largest), np.int32)
    _fill_masks(xy, ring_offset, mask_offset, height, width, cursor, scratch, offset, start, end)
    return offset, start[: offset[-1]], end[: offset[-1]]


@compiled
def _scale(coordinate):
    """A coordinate in fifths of a pixel, rounded like C's cast."""
    return int(5.0 * coordinate + 0.5)


@compiled
def _crossed(x, x_next, width):
    """First and last column whose step lies between two scaled x, first > last for none."""
    low, high = min(x, x_next), max(x, x_next)
    return max(0, (low + 2) // 5), min(width - 1, (high - 3) // 5)


@compiled
def _count_crossings(xy, ring_offset, mask_offset, width, crossings):
    for mask in range(len(crossings)):
        count = 0
        for ring in range(mask_offset[mask], mask_offset[mask + 1]):
            x = _scale(xy[ring_offset[ring + 1] - 2])
            for place in range(ring_offset[ring], ring_offset[ring + 1], 2):
                x_next = _scale(xy[place])
                first, last = _crossed(x, x_next, width[mask])
                count += max(0, last - first + 1)
                x = x_next
        crossings[mask] = count


@compiled
def _fill_masks(xy, ring_offset, mask_offset, height, width, cursor, scratch, offset, start, end):
    count = 0
    for mask in range(len(offset) - 1):
        offset[mask] = count
        for ring in range(mask_offset[mask], mask_offset[mask + 1]):
            points = xy[ring_offset[ring] : ring_offset[ring + 1]]
            united = count
            count = _fill_ring(
                points, height[mask], width[mask], cursor, scratch[0], start, end, count
            )
            if offset[mask] < united < count:
                count = _unite(start, end, offset[mask], united, count, scratch)
    offset[len(offset) - 1] = count


@compiled
def _fill_ring(points, height, width, cursor, switches, start, end, count):
    """Append a ring's intervals; ``cursor`` holds zeros before and after. Returns the count."""
    left, right = width, -1
    x = _scale(points[-2])
    for place in range(0, len(points), 2):
        x_next = _scale(points[place])
        first, last = _crossed(x, x_next, width)
        for column in range(first, last + 1):
            cursor[column] += 1
        if first <= last:
            left, right = min(left, first), max(right, last)
        x = x_next
    total = 0
    for column in range(left, right + 1):
        total, cursor[column] = total + cursor[column], total
    x, y = _scale(points[-2]), _scale(points[-1])
    for place in range(0, len(points), 2):
        x_next, y_next = _scale(points[place]), _scale(points[place + 1])
        _switch_rows(x, y, x_next, y_next, height, width, cursor, switches)
        x, y = x_next, y_next
    return _switches_to_intervals(cursor, switches, left, right, height, start, end, count)


@compiled
def _switch_rows(x, y, x_next, y_next, height, width, cursor, switches):
    """Insert the rows at which an edge switches its columns, sorted within each column."""
    first, last = _crossed(x, x_next, width)
    if first > last:
        return
    run, rise = abs(x_next - x), abs(y_next - y)
    is_flat = run >= rise
    # COCO draws flat edges from left to right and steep ones downwards: rounding depends on it.
    if (is_flat and x > x_next) or (not is_flat and y > y_next):
        x, y, x_next, y_next = x_next, y_next, x, y
    slope = (y_next - y) / run if is_flat else (x_next - x) / rise
    for column in range(first, last + 1):
        if is_flat:
            # Of the points on both sides, the upper one.
            step = 5 * column + (2 if slope > 0 else 3) - x
            row = int(y + slope * step + 0.5)
        else:
            row = y + _step_across(x, slope, rise, 5 * column + 2)
        # ceil((row + 0.5) / 5 - 0.5): the first row whose centre is not above the outline.
        row = min(max((row + 2) // 5, 0), height)
        switches[cursor[column]] = column * height + row
        cursor[column] += 1


@compiled
def _step_across(x, slope, steps, column):
    """The last step of a steep edge before it passes ``column + 0.5``, in either direction.

    Step ``t`` of the edge lies at ``int(x + slope * t + 0.5)``.
    """
    step = min(max(int((column + 0.5 - x) / slope), 0), steps - 1)
    if slope > 0:
        while step > 0 and int(x + slope * step + 0.5) > column:
            step -= 1
        while step < steps - 1 and int(x + slope * (step + 1) + 0.5) <= column:
            step += 1
    else:
        while step > 0 and int(x + slope * step + 0.5) <= column:
            step -= 1
        while step < steps - 1 and int(x + slope * (step + 1) + 0.5) > column:
            step += 1
    return step


@compiled
def _switches_to_intervals(cursor, switches, left, right, height, start, end, count):
    """Pair the switches of the columns from ``left`` to ``right``; returns the interval count."""
    if left > right:
        return count
    total = cursor[right]
    cursor[left : right + 1] = 0
    # The columns are in order and hold few switches each: insertion is the fastest way to sort.
    for place in range(1, total):
        pixel = switches[place]
        while place > 0 and switches[place - 1] > pixel:
            switches[place] = switches[place - 1]
            place -= 1
        switches[place] = pixel
    first = count
    for place in range(0, total, 2):
        low, high = switches[place], switches[place + 1]
        if count > first and end[count - 1] == low:
            end[count - 1] = high
        elif low < high:
            start[count], end[count] = low, high
            count += 1
    return count


@compiled
def _unite(start, end, first, second, stop, scratch):
    """Unite the interval lists ``[first, second)`` and ``[second, stop)`` in place."""
    merged = 0
    i, j = first, second
    while i < second or j < stop:
        if j == stop or (i < second and start[i] <= start[j]):
            low, high = start[i], end[i]
            i += 1
        else:
            low, high = start[j], end[j]
            j += 1
        if merged and low <= scratch[1, merged - 1]:
            scratch[1, merged - 1] = max(scratch[1, merged - 1], high)
        else:
            scratch[0, merged], scratch[1, merged] = low, high
            merged += 1
    start[first : first + merged] = scratch[0, :merged]
    end[first : first + merged] = scratch[1, :merged]
    return first + merged
