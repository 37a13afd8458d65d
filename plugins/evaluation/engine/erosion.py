"""Erosion of a mask by a square, on pixel intervals: no bitmap, no cost for the image's size.

A mask is a list of half-open intervals of column-major pixel numbers ``p = x * height + y``,
ascending and disjoint. Erosion by a square of ``2 * radius + 1`` pixels is separable:

1. Every vertical run of a column loses ``radius`` pixels at both ends.
2. A column of the result is the intersection of the ``2 * radius + 1`` columns around it. As in
   van Herk's running minimum, the columns are cut into blocks as long as the window; a window is
   then the end of a block and the beginning of the next, and both kinds of intersections are
   built one column at a time (M. van Herk, Pattern Recognition Letters 13, 1992).

After step 1 neighbouring runs of a column are at least ``2 * radius + 1`` apart. The gaps of an
intersection are unions of such gaps, so no column ever holds more than
``(height + 1) // (2 * radius + 2)`` runs. That bounds every buffer.
"""

import numpy as np

from plugins.compilation import compiled


def erosion_buffers(
    height: int | np.ndarray, width: int | np.ndarray, radius: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Memory for :func:`erode`, to be used for one mask after the other.

    Args:
        height: Of the image in pixels, or those of all images that the memory shall serve.
        width: In the same form, in pixels.
        radius: In the same form: pixels that the erosion takes away, 1 or more.

    Returns:
        The result, int32 (2, C): first pixels and ends of the intervals; and the scratch memory,
        int32 (3, S).
    """
    height, width, radius = (np.asarray(size, np.int64) for size in (height, width, radius))
    runs = np.maximum(1, (height + 1) // (2 * radius + 2))
    # The runs of all columns, those of a block's ends, and two beginnings of a block; the third
    # row tells where the lists begin.
    lists = width + 2 * radius + 3
    result = np.empty((2, int(np.max(width * runs))), np.int32)
    return result, np.empty((3, int(np.max(lists * runs + 1))), np.int32)


@compiled
def erode(start, end, n, height, width, radius, out_start, out_end, scratch):
    """Erode a mask by a square; what lies outside of the image counts as background.

    Equal to ``cv2.erode`` with ``np.ones((2 * radius + 1, 2 * radius + 1))`` and a border of
    zeros.

    Args:
        start: int32, first pixels of the mask's intervals; touching and empty ones are allowed.
        end: int32, the pixels after them.
        n: How many intervals there are.
        height: Of the image in pixels.
        width: Of the image in pixels.
        radius: Pixels that are taken away, 1 or more.
        out_start: int32 (C,), row 0 of the result of :func:`erosion_buffers`; is overwritten.
        out_end: int32 (C,), row 1.
        scratch: int32 (3, S) of :func:`erosion_buffers`; is overwritten.

    Returns:
        How many intervals were written: ascending, disjoint, none across two columns.
    """
    window = 2 * radius + 1
    if n == 0 or height < window:
        return 0
    first = start[0] // height
    columns = (end[n - 1] - 1) // height - first + 1
    if columns < window:
        return 0
    top, bottom, begin = scratch[0], scratch[1], scratch[2]
    if _shrink_columns(start, end, n, height, radius, first, columns, top, bottom, begin) == 0:
        return 0
    count = 0
    column = 0
    while column + window <= columns:
        stop = column
        while stop < columns and begin[stop] < begin[stop + 1]:
            stop += 1
        middle = (first + column + radius) * height
        has_single_runs = begin[stop] - begin[column] == stop - column
        if stop - column >= window and has_single_runs:
            count = _intersect_single_runs(
                top, bottom, begin[column], begin[stop], begin[columns], window, height, middle,
                out_start, out_end, count,
            )  # fmt: skip
        elif stop - column >= window:
            count = _intersect_windows(
                top, bottom, begin, column, stop, columns, window, height, middle,
                out_start, out_end, count,
            )  # fmt: skip
        column = stop + 1
    return count


@compiled
def _shrink_columns(start, end, n, height, radius, first, columns, top, bottom, begin):
    """Step 1: rows of the shortened runs of each column, lists one behind the other.

    Column ``c``, counted from ``first``, owns ``top[begin[c]:begin[c + 1]]``. Returns the runs.
    """
    window = 2 * radius + 1
    count = 0
    column = 0
    offset = first * height
    begin[0] = 0
    place = 0
    while place < n:
        low, high = start[place], end[place]
        place += 1
        while place < n and start[place] <= high:
            high = max(high, end[place])
            place += 1
        if high - low < window:
            continue
        while low < high:
            # Runs mostly follow one another in neighbouring columns: adding beats dividing.
            while low >= offset + height:
                offset += height
                column += 1
                begin[column] = count
            stop = min(high, offset + height)
            if stop - low >= window:
                top[count] = low - offset + radius
                bottom[count] = stop - offset - radius
                count += 1
            low = stop
    begin[column + 1 : columns + 1] = count
    return count


@compiled
def _intersect_single_runs(
    top, bottom, first, stop, room, window, height, offset, out_start, out_end, count
):
    """Step 2 for columns of one run each, as most are: the same without lists.

    The runs are those from ``first`` to ``stop``; ``offset`` is the first pixel of the column in
    the middle of the first window. The ends of a block are kept from ``room`` on.
    """
    for block in range(first, stop - window + 1, window):
        low, high = 0, height
        for k in range(window - 1, -1, -1):
            low, high = max(low, top[block + k]), min(high, bottom[block + k])
            top[room + k], bottom[room + k] = low, high
        low, high = 0, height
        for k in range(min(window, stop - window + 1 - block)):
            start, end = max(low, top[room + k]), min(high, bottom[room + k])
            if start < end:
                middle = offset + (block - first + k) * height
                out_start[count] = start + middle
                out_end[count] = end + middle
                count += 1
            # The next window has one column more of the next block. After the last window this
            # reads rubbish, within the scratch memory.
            low, high = max(low, top[block + window + k]), min(high, bottom[block + window + k])
    return count


@compiled
def _intersect_windows(
    top, bottom, begin, first, stop, columns, window, height, offset, out_start, out_end, count
):
    """Step 2 for the columns from ``first`` to ``stop``, none of which is empty.

    ``offset`` is the first pixel of the column in the middle of the first window. Behind the
    lists of the columns lie those of the ends of a block, shortest end first (``mark`` tells
    where), then two for beginnings of the next block, which need no more than the last one.
    """
    mark = begin[columns + 1 :]
    runs = (height + 1) // (window + 1)
    for block in range(first, stop - window + 1, window):
        mark[0] = begin[columns]
        _intersect_ends(top, bottom, begin, block, window, mark)
        middle = offset + (block - first) * height
        # The first window is the block itself.
        whole, whole_end = mark[window - 1], mark[window]
        count = _intersect(
            top, bottom, whole, whole_end, whole, whole_end, out_start, out_end, count, middle
        )
        head, head_end = begin[block + window], begin[block + window]
        for column in range(block + window, min(stop, block + 2 * window - 1)):
            if column == block + window:
                head_end = begin[column + 1]
            else:
                room = mark[window] + runs * (column & 1)
                head_end = _intersect(
                    top, bottom, begin[column], begin[column + 1], head, head_end,
                    top, bottom, room, 0,
                )  # fmt: skip
                head = room
            if head == head_end:
                break
            middle += height
            k = block + 2 * window - 2 - column
            count = _intersect(
                top, bottom, mark[k], mark[k + 1], head, head_end, out_start, out_end, count, middle
            )
    return count


@compiled
def _intersect_ends(top, bottom, begin, block, window, mark):
    """Intersections of the last 1, 2, ... ``window`` columns of a block, from ``mark[0]`` on."""
    before, before_end = begin[block + window - 1], begin[block + window]
    for k in range(window):
        column = block + window - 1 - k
        mark[k + 1] = _intersect(
            top, bottom, begin[column], begin[column + 1], before, before_end,
            top, bottom, mark[k], 0,
        )  # fmt: skip
        before, before_end = mark[k], mark[k + 1]


@compiled
def _intersect(top, bottom, a, a_end, b, b_end, out_top, out_bottom, count, offset):
    """Append the intersection of two lists of rows, moved by ``offset``; returns the new count."""
    while a < a_end and b < b_end:
        low = max(top[a], top[b])
        high = min(bottom[a], bottom[b])
        if low < high:
            out_top[count] = low + offset
            out_bottom[count] = high + offset
            count += 1
        if bottom[a] < bottom[b]:
            a += 1
        else:
            b += 1
    return count
