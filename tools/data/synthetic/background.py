"""Backdrops: two smooth surfaces with stains, grain and streaks, never a category's colour."""

import cv2
import numpy as np


def draw_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A muted backdrop.

    Args:
        width, height: size in pixels.
        rng: source of all choices.

    Returns:
        float32 (height, width, 3), blue-green-red, roughly in [0.05, 0.95].
    """
    canvas = _surface(width, height, rng)
    if rng.random() < 0.6:
        edge = _ground_edge(width, height, rng)
        canvas += edge * (_surface(width, height, rng) - canvas)
    return canvas


def light_field(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Uneven illumination and vignetting: float32 (height, width, 1), a factor around 1."""
    light = 1 + 0.16 * _noise(width, height, 2, rng)
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light *= 1 - np.float32(rng.uniform(0.05, 0.18)) * (x**2 + y**2)
    return light[..., None]


def _surface(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    base = _muted_colour(rng)
    relief = np.zeros((height, width), dtype=np.float32)
    for cells in (3, 8, 24):
        relief += rng.uniform(0.01, 0.07) * _noise(width, height, cells, rng)
    if rng.random() < 0.5:
        relief += rng.uniform(0.02, 0.08) * _streaks(width, height, rng)
    stains = _noise(width, height, 4, rng)
    tint = rng.normal(0, 0.02, 3).astype(np.float32)
    ramp = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * rng.uniform(-0.25, 0.25)
    grey = (1 + relief + ramp)[..., None]
    return base * grey + stains[..., None] * tint


def _muted_colour(rng: np.random.Generator) -> np.ndarray:
    """Blue, green, red of low saturation."""
    value, saturation = rng.uniform(0.3, 0.8), rng.uniform(0.02, 0.2)
    shift = rng.uniform(-1, 1, 3)
    return (value * (1 + saturation * shift)).astype(np.float32)


def _noise(width: int, height: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with about ``cells`` bumps along the longer side, standard deviation near 1."""
    rows = max(2, round(cells * height / max(width, height))) + 1
    columns = max(2, round(cells * width / max(width, height))) + 1
    coarse = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def _streaks(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Noise drawn out along one axis: boards, cloth, grass."""
    fine, coarse = int(rng.integers(16, 60)), int(rng.integers(2, 5))
    shape = (fine, coarse) if rng.random() < 0.5 else (coarse, fine)
    values = rng.normal(0, 1, shape).astype(np.float32)
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)


def _ground_edge(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Soft mask, float32 (height, width, 1), of what lies below a slanted line."""
    level = rng.uniform(0.25, 0.75) * height
    slope = rng.normal(0, 0.12)
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    softness = rng.uniform(0.7, 3)
    below = (y - level - slope * (x - width / 2)) / np.float32(softness)
    return np.clip(below + 0.5, 0, 1).astype(np.float32)[..., None]
