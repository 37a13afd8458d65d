"""Pixels of a scene: shaded, patterned objects with soft shadows, seen by a small camera."""

import cv2
import numpy as np

from .background import draw_background, light_field
from .catalog import appearance, bgr
from .options import SyntheticOptions
from .patterns import pattern_mask
from .plan import SPLITS
from .scene import Scene, SceneObject


def render_scene(scene: Scene, split: str, index: int, options: SyntheticOptions) -> np.ndarray:
    """Paint a scene.

    Args:
        scene: geometry from `scene.build_scene`.
        split: 'train' or 'val'.
        index: number of the image in its split; with the seed it determines every pixel.
        options: the options the scene was built with.

    Returns:
        uint8 (height, width, 3), blue-green-red.
    """
    rng = np.random.default_rng([options.seed, 20 + SPLITS.index(split), index])
    canvas = draw_background(scene.width, scene.height, rng)
    angle = rng.uniform(0, 2 * np.pi)
    light = np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)
    softness = rng.uniform(0.04, 0.12)
    for item in scene.objects:
        _cast_shadow(canvas, item, light, softness)
        _draw_object(canvas, item, light, rng)
    return _photograph(canvas, rng)


def _draw_object(
    canvas: np.ndarray, item: SceneObject, light: np.ndarray, rng: np.random.Generator
) -> None:
    window = _window(canvas, item.outline, margin=1)
    # The draws must not depend on what is inside the image.
    colours = _instance_colours(item, rng)
    gloss = rng.uniform(0, 0.5)
    if window is None:
        return
    x0, y0, x1, y1 = window
    u, v = _object_frame(item, x0, y0, x1, y1)
    pattern = appearance(item.category_id).pattern if item.category_id else 'plain'
    mix = pattern_mask(pattern, u, v)[..., None]
    surface = colours[0] + mix * (colours[1] - colours[0])
    shade, highlight = _shading(item, u, v, light)
    surface = surface * shade[..., None] + np.float32(gloss) * highlight[..., None]
    alpha = _coverage(item.outline, x0, y0, x1, y1)[..., None]
    region = canvas[y0:y1, x0:x1]
    region += alpha * (surface - region)


def _instance_colours(item: SceneObject, rng: np.random.Generator) -> np.ndarray:
    """Both colours of an instance, float32 (2, 3), blue-green-red, a little off its category's."""
    jitter = rng.normal(0, 1, (2, 3)) * (5, 0.06, 0.07)
    if item.category_id == 0:
        grey = rng.uniform(0.15, 0.8)
        tint = 1 + 0.12 * rng.uniform(-1, 1, 3)
        return np.array([grey * tint, grey * tint], dtype=np.float32)
    look = appearance(item.category_id)
    colours = []
    for (hue, saturation, value), (a, b, c) in zip((look.colour, look.second), jitter, strict=True):
        colours.append(bgr((hue + a, min(max(saturation + b, 0), 1), min(max(value + c, 0), 1))))
    return np.array(colours, dtype=np.float32)


def _object_frame(
    item: SceneObject, x0: int, y0: int, x1: int, y1: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (u across, v along) of the pixel centres, float32 (h, w) each."""
    inverse = np.linalg.inv(item.axes).astype(np.float32)
    dx = (np.arange(x0, x1) + 0.5 - item.centre[0]).astype(np.float32)
    dy = (np.arange(y0, y1) + 0.5 - item.centre[1]).astype(np.float32)[:, None]
    return dx * inverse[0, 0] + dy * inverse[1, 0], dx * inverse[0, 1] + dy * inverse[1, 1]


def _shading(
    item: SceneObject, u: np.ndarray, v: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Light on a gently domed surface, as factor and as highlight, float32 (h, w) each."""
    unit = item.axes / np.linalg.norm(item.axes, axis=1, keepdims=True)
    towards_u, towards_v = (unit @ light).astype(np.float32)
    lambert = towards_u * u + towards_v * v
    distance = u * u + v * v
    shade = 0.98 + 0.2 * lambert - 0.1 * distance
    spot = (u - 0.45 * towards_u) ** 2 + (v - 0.45 * towards_v) ** 2
    return np.maximum(shade, 0.45), np.exp(-12 * spot)


def _cast_shadow(canvas: np.ndarray, item: SceneObject, light: np.ndarray, softness: float) -> None:
    size = min(item.size, 160.0)
    blur = max(1, round(softness * size))
    outline = item.outline - light * (0.6 * softness * size + 1)
    window = _window(canvas, outline, margin=2 * blur)
    if window is None:
        return
    x0, y0, x1, y1 = window
    shadow = _coverage(outline, x0, y0, x1, y1, fineness=1)
    for _ in range(2):
        shadow = cv2.blur(shadow, (2 * blur + 1, 2 * blur + 1), borderType=cv2.BORDER_REPLICATE)
    canvas[y0:y1, x0:x1] *= (1 - 0.5 * shadow)[..., None]


def _coverage(
    outline: np.ndarray, x0: int, y0: int, x1: int, y1: int, fineness: int = 3
) -> np.ndarray:
    """Share of each pixel inside the outline, float32 (y1 - y0, x1 - x0), by supersampling."""
    fine = np.zeros(((y1 - y0) * fineness, (x1 - x0) * fineness), dtype=np.uint8)
    # OpenCV counts from pixel centres and takes 4 fractional bits here.
    points = np.rint(((outline - (x0, y0)) * fineness - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(fine, [points], 255, shift=4)
    if fineness > 1:
        fine = cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return fine.astype(np.float32) / 255


def _window(
    canvas: np.ndarray, outline: np.ndarray, margin: int
) -> tuple[int, int, int, int] | None:
    """Pixels x0, y0, x1, y1 around the outline inside the canvas; None if there are none."""
    extent = canvas.shape[1::-1]
    x0, y0 = np.clip(np.floor(outline.min(axis=0)) - margin, 0, extent).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(outline.max(axis=0)) + margin, 0, extent).astype(int).tolist()
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _photograph(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Illumination, white balance, blur of the lens and noise of the sensor."""
    height, width = canvas.shape[:2]
    canvas *= light_field(width, height, rng)
    canvas *= (rng.uniform(0.8, 1.15) * (1 + rng.normal(0, 0.03, 3))).astype(np.float32)
    canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 0.8))
    grain = rng.standard_normal((height, width, 1), dtype=np.float32)
    canvas += np.float32(rng.uniform(0.005, 0.025)) * grain
    return np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8)
