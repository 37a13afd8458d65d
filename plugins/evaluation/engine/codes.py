"""Compressed run-length codes of masks, decoded straight into pixel intervals.

A code is text: runs of zeros and ones in turn, in column-major order, five bits a character; from
the fourth on, a run is stored as its difference from the one two before.
"""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.records import Results, ResultsError

BROKEN = -1
_BACKSLASH = 92


class Codes(NamedTuple):
    """Codes of N results; fields as in `Results`, the buffer read-only."""

    rle: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    height: np.ndarray
    width: np.ndarray
    escaped: bool


def codes_of(results: Results) -> Codes:
    """Codes in the one layout that kernels are compiled for.

    Raises:
        ResultsError: The results have no masks.
    """
    if results.rle is None:
        raise ResultsError(f'{results.source}: there are no masks, only boxes can be evaluated')
    # Kernels for writable and for read-only arrays would be compiled separately. The buffer is
    # often mapped read-only.
    buffer = np.asarray(results.rle, np.uint8).view(np.ndarray)
    buffer.flags.writeable = False
    return Codes(
        buffer,
        np.ascontiguousarray(results.rle_offset, np.int64),
        np.ascontiguousarray(results.rle_length, np.int32),
        np.ascontiguousarray(results.rle_height, np.int32),
        np.ascontiguousarray(results.rle_width, np.int32),
        bool(results.escaped),
    )


def most_intervals(codes: Codes) -> int:
    """How many intervals the longest code can hold; the size of the buffers for `decode`."""
    return int(codes.length.max(initial=0)) // 2 + 1


def require_complete(status: int, results: Results) -> None:
    """Raise an error if a kernel stopped at a broken code; ``status`` is ``BROKEN - index``."""
    if status <= BROKEN:
        index = BROKEN - status
        height, width = int(results.rle_height[index]), int(results.rle_width[index])
        raise ResultsError(
            f'{results.source}: the mask of result {index} is not a complete run-length code of '
            f'{height} x {width} pixels; write the results again'
        )


@compiled
def decode(codes, index, start, end):
    """Decode one mask into ascending, disjoint intervals of column-major pixel numbers.

    Args:
        codes: A `Codes`.
        index: Of the result.
        start: int32, is overwritten with the first pixels.
        end: int32, with the pixels after the last ones.

    Returns:
        Number of intervals, or `BROKEN` unless the runs cover exactly the pixels of the mask.
    """
    rle, escaped = codes.rle, codes.escaped
    place = codes.offset[index]
    stop = place + codes.length[index]
    size = np.int64(codes.height[index]) * codes.width[index]
    zeros, place = _read_run(rle, place, stop, escaped)
    pixel = zeros
    ones = 0
    n = 0
    runs = 1
    while 0 <= place < stop:
        change, place = _read_run(rle, place, stop, escaped)
        ones += change
        if n > 0 and end[n - 1] == pixel:
            n -= 1
        else:
            start[n] = pixel
        pixel += ones
        end[n] = pixel
        n += ones > 0 or pixel > start[n]
        if 0 <= place < stop:
            change, place = _read_run(rle, place, stop, escaped)
            # The second run of zeros is not stored as a difference.
            zeros = change if runs == 1 else zeros + change
            pixel += zeros
        runs += 2
        if (ones | zeros) < 0 or pixel > size:
            return BROKEN
    return n if pixel == size and place == stop else BROKEN


@compiled
def pixels(codes, index):
    """Pixels of one mask, or `BROKEN`; what `decode` finds, without the intervals."""
    rle, escaped = codes.rle, codes.escaped
    place = codes.offset[index]
    stop = place + codes.length[index]
    size = np.int64(codes.height[index]) * codes.width[index]
    zeros, place = _read_run(rle, place, stop, escaped)
    pixel = zeros
    ones = 0
    total = 0
    runs = 1
    while 0 <= place < stop:
        change, place = _read_run(rle, place, stop, escaped)
        ones += change
        total += ones
        pixel += ones
        if 0 <= place < stop:
            change, place = _read_run(rle, place, stop, escaped)
            zeros = change if runs == 1 else zeros + change
            pixel += zeros
        runs += 2
        if (ones | zeros) < 0 or pixel > size:
            return BROKEN
    return total if pixel == size and place == stop else BROKEN


@compiled
def _read_run(rle, place, stop, escaped):
    """One number of a code and the place after it, which is negative if the number is broken."""
    # Most numbers have one or two characters, in no predictable order: arithmetic beats a branch
    # that the processor cannot foresee.
    if place + 1 < stop:
        first, second = np.int64(rle[place]) - 48, np.int64(rle[place + 1]) - 48
        more = (first >> 5) & 1
        plain = not escaped or (first != _BACKSLASH - 48 and second != _BACKSLASH - 48)
        if plain and (first | second) & ~63 == 0 and more & (second >> 5) == 0:
            number = (first & 31) | (((second & 31) << 5) & -more)
            sign = 16 << (5 * more)
            return (number ^ sign) - sign, place + 1 + more
    number = 0
    shift = 0
    while place < stop and shift <= 30:
        symbol = np.int64(rle[place]) - 48
        place += 1
        if escaped and symbol == _BACKSLASH - 48:
            place += 1
        if symbol < 0 or symbol > 63:
            return 0, -1
        number |= (symbol & 31) << shift
        shift += 5
        if not symbol & 32:
            return (number - (1 << shift) if symbol & 16 else number), place
    return 0, -1


@compiled
def extent(start, end, n, height, box):
    """Write the smallest box around a mask: first and last column, first and last row."""
    if n == 0:
        box[0], box[1], box[2], box[3] = 0, -1, 0, -1
        return
    offset = np.int64(start[0]) // height * height
    box[0] = start[0] // height
    box[1] = (end[n - 1] - 1) // height
    top, bottom = height, -1
    for i in range(n):
        # Intervals mostly follow one another in neighbouring columns: adding beats dividing.
        while start[i] >= offset + height:
            offset += height
        if end[i] > offset + height:
            # Across two columns: the last row of one and the first of the next.
            top, bottom = 0, height - 1
            break
        top = min(top, start[i] - offset)
        bottom = max(bottom, end[i] - 1 - offset)
    box[2], box[3] = top, bottom
