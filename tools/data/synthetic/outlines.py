"""Sixteen silhouettes as closed polygons inside the square [-1, 1] x [-1, 1], y downwards."""

from collections.abc import Callable, Iterable
from functools import cache

import numpy as np

POINTS = 60


@cache
def unit_outline(shape: str) -> np.ndarray:
    """Outline of a shape.

    Args:
        shape: key of `OUTLINES`.

    Returns:
        float64 (M, 2), read-only, centred, the larger side of the box from -1 to 1.
    """
    points = OUTLINES[shape]()
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / ((high - low).max() / 2)
    points.flags.writeable = False
    return points


def _radial(radius: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    return radius(angle)[:, None] * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _corners(radii: Iterable[float]) -> np.ndarray:
    """Straight edges between corners at equal angles, the first one on top."""
    radii = np.fromiter(radii, dtype=float)
    angle = 2 * np.pi * np.arange(len(radii)) / len(radii)
    return radii[:, None] * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _smooth(points: Iterable[tuple[float, float]], rounds: int = 2) -> np.ndarray:
    """Chaikin's corner cutting of a closed polygon."""
    points = np.array(list(points), dtype=float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return points


def _mirror(profile: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Close a right-hand profile (x, y), listed from top to bottom, by its mirror image."""
    right = list(profile)
    return right + [(-x, y) for x, y in reversed(right)]


def _crescent() -> np.ndarray:
    outer = np.linspace(-0.8 * np.pi, 0.8 * np.pi, 36)
    inner = np.linspace(0.68 * np.pi, -0.68 * np.pi, 28)
    return np.concatenate(
        [
            np.stack([-np.cos(outer), np.sin(outer)], axis=1),
            np.stack([0.36 - 0.66 * np.cos(inner), 0.66 * np.sin(inner)], axis=1),
        ]
    )


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1)


def _box() -> np.ndarray:
    return _radial(lambda a: (np.abs(np.cos(a)) ** 7 + np.abs(np.sin(a)) ** 7) ** (-1 / 7))


def _leaf() -> np.ndarray:
    t = np.linspace(0, np.pi, 24, endpoint=False)
    edge = np.stack([0.5 * np.sin(t) ** 1.6, -np.cos(t)], axis=1)
    return np.concatenate([edge, -edge])


def _drop() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    return np.stack([0.75 * np.sin(t) * np.sin(t / 2) ** 1.3, -np.cos(t)], axis=1)


def _fish() -> np.ndarray:
    body = [(-1, 0.05), (-0.6, -0.38), (0, -0.5), (0.5, -0.25), (0.62, -0.12), (1, -0.5)]
    belly = [(0.86, 0), (1, 0.5), (0.62, 0.12), (0.5, 0.25), (0, 0.5), (-0.6, 0.4)]
    return _smooth(body + belly)


def _bottle() -> np.ndarray:
    profile = [(0.16, -1), (0.18, -0.5), (0.2, -0.42), (0.42, -0.2), (0.44, 0.3), (0.44, 1)]
    return _smooth(_mirror([(0.14, -1), *profile, (0.38, 1)]))


def _mushroom() -> np.ndarray:
    cap = [(0.35, -0.9), (0.85, -0.6), (1, -0.1), (0.85, 0.08), (0.3, 0.05)]
    return _smooth(_mirror([*cap, (0.26, 0.5), (0.36, 0.95)]))


def _arrow() -> np.ndarray:
    return np.array(_mirror([(0, -1), (0.75, -0.1), (0.32, -0.1), (0.32, 1)]))


def _cross() -> np.ndarray:
    a = 0.34
    return np.array(_mirror([(a, -1), (a, -a), (1, -a), (1, a), (a, a), (a, 1)]))


OUTLINES: dict[str, Callable[[], np.ndarray]] = {
    'disc': lambda: _radial(np.ones_like),
    'star': lambda: _corners([1, 0.42] * 5),
    'box': _box,
    'heart': _heart,
    'bottle': _bottle,
    'flower': lambda: _radial(lambda a: 0.76 + 0.24 * np.cos(6 * a)),
    'triangle': lambda: _smooth(_corners([1, 1, 1]), rounds=1),
    'crescent': _crescent,
    'cross': _cross,
    'drop': _drop,
    'fish': _fish,
    'hexagon': lambda: _corners([1] * 6),
    'arrow': _arrow,
    'gear': lambda: _radial(lambda a: 0.84 + 0.16 * np.tanh(4 * np.cos(9 * a))),
    'leaf': _leaf,
    'mushroom': _mushroom,
}
SHAPES_OF_CLUTTER = ('disc', 'box', 'triangle', 'hexagon')
