"""Polygon coordinates read straight from JSON text, without a Python object per number."""

from collections.abc import Sequence

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.polygons import LARGEST_COORDINATE
from plugins.evaluation.engine.scan_numbers import DOUBTFUL, INVALID, parse_number, skip_space

OTHER, EMPTY, SHORT_RING, ODD_RING, BAD_COORDINATE = -1, -2, -3, -4, -5
"""What :func:`scan_polygons` puts in place of the number of rings of a text it does not take:
something other than a list of rings, no ring, or a ring with a fault."""

_COMMA, _OPEN, _CLOSE = 44, 91, 93


def scan_polygons(texts: Sequence) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read polygons ``[[x1, y1, x2, y2, ...], ...]``.

    Args:
        texts: N JSON texts as objects that show their bytes, such as ``bytes``.

    Returns:
        float64 (P,), the coordinates, pixels; int64 (R + 1,), where those of each ring begin; and
        int64 (N,), the number of rings of each text, or one of the negative codes of this module.
    """
    # Texts end with a byte that ends every token.
    joined = b'\n'.join([*texts, b''])
    text = np.frombuffer(joined, np.uint8)
    stop = np.cumsum(np.array([len(memoryview(one)) + 1 for one in texts], np.int64))
    numbers = joined.count(b',') + len(texts)
    xy = np.empty(numbers, np.float64)
    ring_offset = np.empty(numbers // 6 + 1, np.int64)
    ring_offset[0] = 0
    rings = np.empty(len(texts), np.int64)
    doubtful = np.empty((numbers, 3), np.int64)
    count, ring_count, doubts = _scan_texts(text, stop, xy, ring_offset, rings, doubtful)
    for place, first, last in doubtful[:doubts].tolist():
        xy[place] = float(joined[first:last])
    xy, ring_offset = xy[:count], ring_offset[: ring_count + 1]
    _reject_far_points(xy, ring_offset, rings)
    return xy, ring_offset, rings


def _reject_far_points(xy: np.ndarray, ring_offset: np.ndarray, rings: np.ndarray) -> None:
    if max(xy.max(initial=0), -xy.min(initial=0)) > LARGEST_COORDINATE:
        far = np.flatnonzero(np.abs(xy) > LARGEST_COORDINATE)
        ring = np.searchsorted(ring_offset, far, 'right') - 1
        rings[np.searchsorted(np.cumsum(np.maximum(rings, 0)), ring, 'right')] = BAD_COORDINATE


@compiled
def _scan_texts(text, stop, xy, ring_offset, rings, doubtful):
    """Fill the arrays; returns the numbers of coordinates, of rings and of doubtful numbers."""
    count = ring_count = doubts = 0
    position = 0
    for one in range(len(rings)):
        found, next_count, next_doubts = _scan_rings(
            text, position, stop[one], xy, ring_offset, count, ring_count, doubtful, doubts
        )
        rings[one] = found
        if found > 0:
            count, ring_count, doubts = next_count, ring_count + found, next_doubts
        position = stop[one]
    return count, ring_count, doubts


@compiled
def _scan_rings(text, position, stop, xy, ring_offset, count, ring_count, doubtful, doubts):
    """Rings of one text or a code, and the numbers of coordinates and of doubtful ones so far."""
    position = skip_space(text, position, stop)
    if position == stop or text[position] != _OPEN:
        return OTHER, count, doubts
    position = skip_space(text, position + 1, stop)
    if position < stop and text[position] == _CLOSE:
        return EMPTY, count, doubts
    rings = 0
    while True:
        if position == stop or text[position] != _OPEN:
            return OTHER, count, doubts
        first = count
        position = skip_space(text, position + 1, stop)
        is_open = position < stop and text[position] != _CLOSE
        while is_open:
            value, end, state = parse_number(text, position, stop)
            if state == INVALID:
                return OTHER, count, doubts
            if state == DOUBTFUL:
                doubtful[doubts, 0], doubtful[doubts, 1], doubtful[doubts, 2] = count, position, end
                doubts += 1
            xy[count] = value
            count += 1
            position = skip_space(text, end, stop)
            is_open = position < stop and text[position] == _COMMA
            if is_open:
                position = skip_space(text, position + 1, stop)
        if position == stop or text[position] != _CLOSE:
            return OTHER, count, doubts
        if count - first < 6:
            return SHORT_RING, count, doubts
        if (count - first) % 2:
            return ODD_RING, count, doubts
        rings += 1
        ring_offset[ring_count + rings] = count
        position = skip_space(text, position + 1, stop)
        if position == stop or text[position] != _COMMA:
            return rings, count, doubts
        position = skip_space(text, position + 1, stop)
