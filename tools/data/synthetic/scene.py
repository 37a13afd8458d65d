"""Geometry of one image: where every object lies and which of its pixels remain visible."""

from dataclasses import dataclass

import cv2
import numpy as np

from .catalog import Appearance, appearance
from .options import LVIS_INSTANCES_PER_IMAGE, SyntheticOptions
from .outlines import SHAPES_OF_CLUTTER, unit_outline
from .plan import SPLITS, ImagePlan
from .polygons import rasterise

MIN_SIDE = 7.0
# An instance counts as visible with at least this many pixels and this share of its silhouette.
MIN_VISIBLE_PIXELS = 12
MIN_VISIBLE_SHARE = 0.15
CANDIDATES = 8
LIFTS = 6


@dataclass(frozen=True)
class SceneObject:
    """A silhouette placed in the image.

    Args:
        category_id: id of the category, 0 for clutter.
        is_annotated: False for clutter and for the instances an annotator left out.
        outline: float64 (M, 2), closed polygon in image pixels (pixel (0, 0) covers [0, 1]²).
        centre: (x, y) in image pixels.
        axes: float64 (2, 2), half length and half width of the object as vectors in pixels.
    """

    category_id: int
    is_annotated: bool
    outline: np.ndarray
    centre: np.ndarray
    axes: np.ndarray

    @property
    def size(self) -> float:
        """Geometric mean of length and width in pixels."""
        return 2 * float(np.sqrt(np.abs(np.linalg.det(self.axes))))


@dataclass(frozen=True)
class Scene:
    """Objects in painter's order (the last one in front) and what is seen of them.

    Args:
        width, height: image size in pixels.
        objects: at most 254 objects.
        labels: uint8 (height, width), index into ``objects`` plus one, 0 is background.
        drawn: int (N,), pixels of each silhouette inside the image, hidden ones included.
        visible: int (N,), pixels of each silhouette that no other object covers.
        boxes: int (N, 4), x0, y0, x1, y1 of the pixels drawn, ends exclusive.
    """

    width: int
    height: int
    objects: list[SceneObject]
    labels: np.ndarray
    drawn: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray

    def is_visible(self) -> np.ndarray:
        """Bool (N,): enough of the object is seen to annotate it."""
        least = np.maximum(MIN_VISIBLE_PIXELS, MIN_VISIBLE_SHARE * self.drawn)
        return self.visible >= least


def build_scene(plan: ImagePlan, split: str, options: SyntheticOptions) -> Scene:
    """Lay out one planned image; the same for every process and with or without pixels."""
    rng = np.random.default_rng([options.seed, 10 + SPLITS.index(split), plan.index])
    width, height = rng.integers(options.min_size, options.max_size, endpoint=True).tolist()
    roster = _roster(plan)
    sides = _draw_sides(plan, width, height, options, rng)
    centres = _draw_centres(plan, sides, width, height, rng)
    objects = [
        _place(category, annotated, look, side, centre, rng)
        for (category, annotated, look), side, centre in zip(roster, sides, centres, strict=True)
    ]
    objects += [_draw_clutter(width, height, rng) for _ in range(rng.integers(0, 4))]
    # Large things tend to stand behind small ones, otherwise crowds would vanish.
    depth = np.array([np.log(item.size) for item in objects]) + rng.normal(0, 0.5, len(objects))
    return _lift_hidden([objects[i] for i in np.argsort(-depth)], width, height)


def _roster(plan: ImagePlan) -> list[tuple[int, bool, Appearance]]:
    """(category id, is annotated, appearance) of every planned instance."""
    return [
        (category, index >= hidden, appearance(category))
        for category, total, hidden in zip(
            plan.categories, plan.instances, plan.hidden, strict=True
        )
        for index in range(total)
    ]


def _draw_sides(
    plan: ImagePlan, width: int, height: int, options: SyntheticOptions, rng: np.random.Generator
) -> np.ndarray:
    """Log-normal box sides in pixels; crowds shrink so that they fit into the image."""
    spread = options.object_spread
    # Things of one kind in one photo are at similar distances: 64 % of the variance is shared.
    shared = np.exp(rng.normal(0, 0.8 * spread, len(plan.categories)))
    shared *= [appearance(category).size for category in plan.categories]
    sides = np.repeat(shared, plan.instances) * options.median_object_size
    sides *= np.sqrt(width * height) * np.exp(rng.normal(0, 0.6 * spread, len(sides)))
    # A crowd is seen from further away.
    sides *= min(1.0, (LVIS_INSTANCES_PER_IMAGE / max(len(sides), 1)) ** 0.35)
    sides = np.clip(sides, MIN_SIDE, 0.95 * min(width, height))
    filled = (sides**2).sum() / (0.8 * width * height)
    return np.maximum(sides / np.sqrt(max(filled, 1.0)), MIN_SIDE)


def _draw_centres(
    plan: ImagePlan, sides: np.ndarray, width: int, height: int, rng: np.random.Generator
) -> np.ndarray:
    """Centres, float (N, 2), of the best of a few random places; crowds gather around a point."""
    extent = np.array([width, height], dtype=float)
    centres = np.empty((len(sides), 2))
    placed = 0
    for total in plan.instances:
        focus = rng.uniform(0.2, 0.8, 2) * extent
        for _ in range(total):
            if total >= 6:
                places = focus + rng.normal(0, 0.25, (CANDIDATES, 2)) * extent
            else:
                places = rng.uniform(0, 1, (CANDIDATES, 2)) * extent
            margin = 0.35 * min(sides[placed], extent.min())
            places = np.clip(places, margin, extent - margin)
            reach = (sides[:placed] + sides[placed]) / 2
            distance = np.abs(places[:, None] - centres[:placed]).max(axis=2)
            overlap = np.maximum(1 - distance / reach, 0).sum(axis=1)
            # The first place that is free enough, so that some occlusion remains.
            free = np.flatnonzero(overlap < 0.6)
            centres[placed] = places[free[0] if len(free) else overlap.argmin()]
            placed += 1
    return centres


def _place(
    category_id: int,
    is_annotated: bool,
    look: Appearance,
    side: float,
    centre: np.ndarray,
    rng: np.random.Generator,
) -> SceneObject:
    """Deform, flip, rotate and move the silhouette of a category."""
    angle = rng.normal(0, 0.35) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
    aspect = look.aspect * np.exp(rng.normal(0, 0.08))
    half = np.array([side / 2, side / 2 / aspect]) * aspect**0.5
    flip = rng.choice([-1.0, 1.0])
    cosine, sine = np.cos(angle), np.sin(angle)
    # The length runs along the silhouette's own upright axis.
    axes = np.array(
        [[half[1] * flip * cosine, half[1] * flip * sine], [-half[0] * sine, half[0] * cosine]]
    )
    outline = _wobble(unit_outline(look.shape), rng) @ axes + centre
    return SceneObject(category_id, is_annotated, _thin(outline, side), centre, axes)


def _wobble(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """No two instances have quite the same silhouette."""
    angle = np.arctan2(points[:, 1], points[:, 0])
    amplitude = rng.normal(0, 0.03, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    waves = np.cos(angle[:, None] * np.array([2, 3, 5]) + phase) @ amplitude
    return points * (1 + waves)[:, None]


def _thin(outline: np.ndarray, side: float) -> np.ndarray:
    """Drop the points that do not show at this size, and round as LVIS does (0.01 px)."""
    tolerance = 0.15 + 0.001 * side
    thinned = cv2.approxPolyDP(outline.astype(np.float32)[:, None], tolerance, True)[:, 0]
    return np.round(thinned.astype(np.float64), 2)


def _draw_clutter(width: int, height: int, rng: np.random.Generator) -> SceneObject:
    """A neutral thing of no category."""
    look = Appearance(
        shape=SHAPES_OF_CLUTTER[rng.integers(len(SHAPES_OF_CLUTTER))],
        aspect=float(rng.uniform(1, 4)),
        pattern='plain',
        colour=(0, 0, 0),
        second=(0, 0, 0),
        size=1.0,
    )
    side = float(rng.uniform(0.06, 0.35)) * min(width, height)
    centre = rng.uniform(0, 1, 2) * (width, height)
    return _place(0, False, look, max(side, MIN_SIDE), centre, rng)


def _lift_hidden(objects: list[SceneObject], width: int, height: int) -> Scene:
    """Bring an instance to the front where a planned category would otherwise be invisible."""
    for _ in range(LIFTS):
        scene = _paint(objects, width, height)
        seen = {
            item.category_id
            for item, shown in zip(objects, scene.is_visible(), strict=True)
            if shown and item.is_annotated
        }
        lifted = {
            item.category_id: index
            for index, item in enumerate(objects)
            if item.is_annotated and item.category_id not in seen
        }
        if not lifted:
            break
        front = sorted(lifted.values())
        objects = [item for i, item in enumerate(objects) if i not in front] + [
            objects[i] for i in front
        ]
    return scene


def _paint(objects: list[SceneObject], width: int, height: int) -> Scene:
    labels = np.zeros((height, width), dtype=np.uint8)
    drawn = np.zeros(len(objects), dtype=np.int64)
    boxes = np.zeros((len(objects), 4), dtype=np.int64)
    for index, item in enumerate(objects):
        low = np.clip(np.floor(item.outline.min(axis=0)), 0, (width, height)).astype(int)
        high = np.clip(np.ceil(item.outline.max(axis=0)), 0, (width, height)).astype(int)
        if (high <= low).any():
            continue
        mask = rasterise([item.outline - low], *(high - low)[::-1].tolist())
        labels[low[1] : high[1], low[0] : high[0]][mask] = index + 1
        drawn[index] = np.count_nonzero(mask)
        boxes[index] = (*low, *high)
    visible = np.bincount(labels.ravel(), minlength=len(objects) + 1)[1:]
    return Scene(width, height, objects, labels, drawn, visible, boxes)
