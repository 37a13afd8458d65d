"""Polygons read straight from JSON text, without a Python object per number."""

from collections.abc import Sequence

import numpy as np

from plugins.compilation import compiled

OTHER = -1
"""In place of the number of rings of a text that is left to a general parser."""

_LARGEST = 900_000  # pixels; beyond it a polygon may be at fault
_FEWEST_COORDINATES = 6
_COMMA, _MINUS, _POINT, _OPEN, _CLOSE = 44, 45, 46, 91, 93


def scan_polygons(texts: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read polygons ``[[x1, y1, x2, y2, ...], ...]`` whose numbers have at most two decimals.

    Args:
        texts: N valid JSON texts, as objects that show their bytes.

    Returns:
        int32 (C,), the coordinates in hundredths of a pixel; int32 (R,), how many of them each ring
        has, an even number from 6 on; and int32 (N,), the number of rings of each text, from 1
        on, or `OTHER` for anything else.
    """
    # Every text ends with a byte that ends every token.
    joined = b'\n'.join([*texts, b''])
    stops = np.cumsum(np.array([len(memoryview(text)) + 1 for text in texts], np.int64))
    numbers = len(joined) // 2  # at most: each has a digit and something that ends it
    coordinates = np.empty(numbers, np.int32)
    ring_length = np.empty(numbers // _FEWEST_COORDINATES + 1, np.int32)
    ring_count = np.empty(len(texts), np.int32)
    text = np.frombuffer(joined, np.uint8)
    count, rings = _scan_texts(text, stops, coordinates, ring_length, ring_count)
    return coordinates[:count], ring_length[:rings], ring_count


@compiled
def _scan_texts(text, stops, coordinates, ring_length, ring_count):
    """Fill the arrays; returns the numbers of coordinates and of rings."""
    count = rings = position = 0
    for one in range(len(stops)):
        found, end = _scan_rings(
            text, position, stops[one] - 1, coordinates, count, ring_length, rings
        )
        ring_count[one] = found
        if found != OTHER:
            count, rings = end, rings + found
        position = stops[one]
    return count, rings


@compiled
def _scan_rings(text, position, stop, coordinates, count, ring_length, rings):
    """Number of rings of one text or OTHER, and the number of coordinates then."""
    position = _skip_space(text, position, stop)
    if text[position] != _OPEN:
        return OTHER, count
    found = 0
    while True:
        position = _skip_space(text, position + 1, stop)
        if text[position] != _OPEN:
            return OTHER, count
        first = count
        while True:
            position = _skip_space(text, position + 1, stop)
            value, position = _scan_hundredths(text, position)
            if position < 0:
                return OTHER, count
            coordinates[count] = value
            count += 1
            position = _skip_space(text, position, stop)
            if text[position] != _COMMA:
                break
        length = count - first
        if text[position] != _CLOSE or length < _FEWEST_COORDINATES or length % 2:
            return OTHER, count
        ring_length[rings + found] = length
        found += 1
        position = _skip_space(text, position + 1, stop)
        if text[position] != _COMMA:
            return (found if text[position] == _CLOSE else OTHER), count


@compiled
def _skip_space(text, position, stop):
    """First position from which on there is no white space, at most ``stop``."""
    while position < stop and text[position] <= 32:
        position += 1
    return position


@compiled
def _scan_hundredths(text, position):
    """A number times 100 and the position after it, or -1 unless that is a small whole number."""
    negative = text[position] == _MINUS
    if negative:
        position += 1
    first = position
    value = 0
    while 48 <= text[position] <= 57 and value < _LARGEST:
        value = 10 * value + (text[position] - 48)
        position += 1
    if position == first or value >= _LARGEST:
        return 0, -1
    value *= 100
    if text[position] == _POINT:
        for weight in (10, 1):
            digit = text[position + 1] - 48
            if not 0 <= digit <= 9:
                break
            value += weight * digit
            position += 1
        position += 1
    # More decimals or an exponent.
    if 48 <= text[position] <= 57 or text[position] | 32 == 101:
        return 0, -1
    return -value if negative else value, position


@compiled
def gather(source, start, length, target):
    """Copy stretches of an array one after the other.

    Args:
        source: int32 or float64 (S,).
        start: int64 (N,), where each stretch begins.
        length: int32 (N,), how long it is.
        target: Of the type of ``source``, with room for all of them.
    """
    position = 0
    for one in range(len(start)):
        begin = start[one]
        for step in range(length[one]):
            target[position + step] = source[begin + step]
        position += length[one]
