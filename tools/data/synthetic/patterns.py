"""Surface patterns in the frame of the object."""

import numpy as np


def pattern_mask(pattern: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """How much of the second colour lies at a point of the object.

    Args:
        pattern: one of `catalog.PATTERNS`, or 'plain'.
        u, v: float32 (h, w), across and along the object, its box is [-1, 1] x [-1, 1].

    Returns:
        float32 (h, w) in [0, 1].
    """
    return np.clip(0.5 + 5 * _FIELDS[pattern](u, v), 0, 1)


# Each field is positive where the second colour lies; three to four periods span the object, which
# is as fine as remains visible at thirty pixels.
_FIELDS = {
    'plain': lambda u, v: np.full_like(u, -1),
    'striped': lambda u, v: np.sin(5 * np.pi / 2 * v + 0.8),
    'dotted': lambda u, v: np.cos(2 * np.pi * u) * np.cos(2 * np.pi * v) - 0.35,
    'rimmed': lambda u, v: 3 * (np.maximum(np.abs(u), np.abs(v)) - 0.62),
    'checked': lambda u, v: 2 * np.sin(np.pi * 1.5 * u + 0.4) * np.sin(np.pi * 1.5 * v + 0.4),
    'ringed': lambda u, v: np.sin(2.5 * np.pi * np.sqrt(u * u + v * v) + 1.6),
    'halved': lambda u, v: 3 * (u + 0.25 * v),
    'wavy': lambda u, v: np.sin(2 * np.pi * (u + 0.35 * np.sin(np.pi * v))),
}
