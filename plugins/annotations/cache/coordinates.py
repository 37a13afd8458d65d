"""Coordinates of polygons as whole hundredths of a pixel, where they are such.

That is how LVIS and COCO write them. It halves their size, and nothing is lost: division is rounded
correctly, so that a hundredth divided by 100 is the number nearest to the decimal one in the file.
"""

import numpy as np


def as_hundredths(pixels: np.ndarray) -> np.ndarray:
    """Coordinates in hundredths, int32, if all of them can be; otherwise as they are.

    Args:
        pixels: float64 (C,).
    """
    # NaN and infinity fail the comparisons.
    hundredths = np.rint(pixels * 100)
    if not (np.abs(hundredths) < 2**31).all() or not (hundredths / 100.0 == pixels).all():
        return pixels
    return hundredths.astype(np.int32)


def to_pixels(coordinates: np.ndarray) -> np.ndarray:
    """Coordinates in pixels, float64 (C,), from what `as_hundredths` returns."""
    return coordinates if coordinates.dtype == np.float64 else coordinates / 100.0
