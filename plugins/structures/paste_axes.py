"""The axes of an image as a box sees them: which points of its grid a pixel lies between."""

from typing import NamedTuple

import numpy as np

from plugins.compilation import compiled

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


class Axis(NamedTuple):
    """Rows or columns of the image, seen from one box after another.

    Fields are filled by `divide`. Of the grid it keeps the points that a pixel lies next to, in
    the order of the pixels.

    Args:
        cells: int32 (size,), index in the grid of the point before each pixel.
        shares: float32 (size,), the way from there to the next point, from 0 to 1, or NaN.
        bands: int32 (size,), first pixels of neighbours in the same cell.
        points: int32 (2 * size,), index in the grid of each point that is kept.
        starts: int32 (2 * size,), first pixel between a point and the next one; for the last point
            the pixel after all others. Between points that are no neighbours there are no pixels.
    """

    cells: np.ndarray
    shares: np.ndarray
    bands: np.ndarray
    points: np.ndarray
    starts: np.ndarray


@compiled
def new_axis(size):
    """Space for an axis of ``size`` pixels."""
    return Axis(
        np.empty(size, np.int32),
        np.empty(size, np.float32),
        np.empty(size, np.int32),
        np.empty(2 * size, np.int32),
        np.empty(2 * size, np.int32),
    )


@compiled
def divide(axis, start, end, num_points):
    """Find the points of a box's grid between which the pixels of an axis lie.

    Args:
        axis: an `Axis`, is filled.
        start: of the box, float32, pixels.
        end: of the box, float32, pixels.
        num_points: of the grid; -2, -1, ``num_points`` and the next one are points around it.

    Returns:
        Number of points that are kept; zero if no pixel is to be looked at.
    """
    first, last = _window(start, end, len(axis.cells))
    if first >= last:
        return 0
    _locate(axis, start, end - start, first, last, num_points)
    return _keep_points(axis, first, last)


@compiled
def _window(start, end, size):
    """First and last + 1 pixel that is looked at, those of stock.

    There are none if the box lies outside, has a negative size or is not finite.
    """
    if not (start <= end and np.isfinite(start) and np.isfinite(end)):
        return 0, 0
    # Clipped as floats, of which some are larger than any integer.
    first = min(max(np.floor(start) - _ONE, _ZERO), np.float32(size))
    last = min(max(np.ceil(end) + _ONE, _ZERO), np.float32(size))
    return np.int64(first), np.int64(last)


@compiled
def _locate(axis, start, size, first, last, num_points):
    """Find the cell of each pixel's centre and the place in it, rounded as in stock.

    Infinity becomes the middle of the box, as there: that is where a box without extent is sampled,
    but in a pixel whose centre it meets, where the place is NaN.
    """
    scale = np.float32(num_points) / _TWO
    most = np.float32(num_points)
    for pixel in range(first, last):
        relative = (np.float32(pixel) + _HALF - start) / size * _TWO - _ONE
        relative = _ZERO if np.isinf(relative) else relative
        position = (relative + _ONE) * scale - _HALF
        floor = np.floor(position)
        axis.shares[pixel] = position - floor
        # Written such that NaN becomes -2.
        floor = floor if floor > -_TWO else -_TWO
        axis.cells[pixel] = np.int32(floor if floor < most else most)


@compiled
def _keep_points(axis, first, last):
    """Fill bands, points and starts; returns the number of points."""
    axis.bands[0] = first
    num_bands = 1
    for pixel in range(first + 1, last):
        axis.bands[num_bands] = pixel
        num_bands += axis.cells[pixel] != axis.cells[pixel - 1]
    count = 0
    for band in range(num_bands):
        pixel = axis.bands[band]
        cell = axis.cells[pixel]
        if count > 0:
            axis.starts[count - 1] = pixel
        if count == 0 or axis.points[count - 1] != cell:
            axis.points[count], axis.starts[count] = cell, pixel
            count += 1
        axis.points[count] = cell + 1
        count += 1
    axis.starts[count - 1] = last
    return count
