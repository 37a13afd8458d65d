"""Geometry of a frame as index maps: which source row (or column) every output row shows.

Nearest resizing, flipping, cropping and padding treat rows and columns apart, so each is an edit of
two short vectors, whatever the number of objects.
"""

import mmcv
import numpy as np

PADDING = -1


def identity(size: int) -> np.ndarray:
    """The map of a frame that shows its source: int32 (size,)."""
    return np.arange(size, dtype=np.int32)


def resized(index_map: np.ndarray, size: int) -> np.ndarray:
    """The map after nearest-neighbour resizing.

    Which pixel is the nearest differs between image libraries and their versions; therefore the
    library that resizes images resizes the numbers of the pixels, spread over bytes because these
    are what every library takes.

    Args:
        index_map: int32 (N,), N > 0.
        size: of the result, > 0.

    Returns:
        int32 (size,).
    """
    pixels = np.arange(len(index_map), dtype='<u4')
    digits = np.ascontiguousarray(pixels.view(np.uint8).reshape(-1, 4).T)
    digits = mmcv.imresize(digits, (size, 4), interpolation='nearest')
    return index_map[np.ascontiguousarray(digits.T).view('<u4')[:, 0]]


def placed(index_map: np.ndarray, size: int, start: int) -> np.ndarray:
    """The map of a canvas that shows the frame from ``start`` on.

    Args:
        index_map: int32 (N,).
        size: of the canvas.
        start: where the frame begins on the canvas, negative to cut off its beginning.

    Returns:
        int32 (size,), `PADDING` outside the frame.
    """
    canvas = np.full(size, PADDING, np.int32)
    first, last = max(start, 0), min(start + len(index_map), size)
    if first < last:
        canvas[first:last] = index_map[first - start : last - start]
    return canvas
