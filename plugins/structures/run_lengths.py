"""Masks that are given by the pixels at which they change: their COCO code, their area and box.

Pixels are counted in column-major order. A mask is outside first; its last border is the number of
pixels of the image.
"""

import numpy as np

from plugins.compilation import compiled

LONGEST_NUMBER = 7
"""Characters of a run at most: five bits each, for a difference of two numbers below 2**31."""


@compiled
def write_code(borders, count, text, place):
    """Write the runs between borders as text, as ``rleToString`` of the COCO API does.

    Five bits a character; from the fourth on, a run is stored as its difference from the one two
    before.

    Args:
        borders: int32, of which the first ``count`` are read.
        count: of borders.
        text: uint8, is filled from ``place`` on; `LONGEST_NUMBER` characters per border must fit.
        place: of the first character.

    Returns:
        The place after the last character.
    """
    border, run, before = 0, 0, 0
    for i in range(count):
        two_before, before, run = before, run, borders[i] - border
        border = borders[i]
        number = run - two_before if i > 2 else run
        more = True
        while more:
            symbol = number & 31
            number >>= 5
            # The rest is nothing but copies of the sign that the last bit already shows.
            more = number != -(symbol >> 4)
            text[place] = symbol + 48 + 32 * more
            place += 1
    return place


@compiled
def measure_mask(borders, count, height, box):
    """Count the pixels of a mask and find its box.

    Args:
        borders: int32, of which the first ``count`` are read.
        count: of borders.
        height: of the image.
        box: int32 (4,), is filled with x1, y1, x2, y2, the second corner exclusive; zeros if there
            are no pixels.

    Returns:
        Pixels of the mask.
    """
    area, left, top, bottom = 0, 0, height, 0
    offset = 0
    for i in range(1, count, 2):
        start, end = np.int64(borders[i - 1]), np.int64(borders[i])
        # Runs mostly follow one another in neighbouring columns: adding beats dividing.
        while start >= offset + height:
            offset += height
        left = offset // height if area == 0 else left
        area += end - start
        if end > offset + height:
            top, bottom = 0, height
        else:
            top, bottom = min(top, start - offset), max(bottom, end - offset)
    if area == 0:
        box[:] = 0
    else:
        last = borders[count - 1 - count % 2] - 1
        box[0], box[1], box[2], box[3] = left, top, last // height + 1, bottom
    return area
