"""Appearance and name of every category, a function of its id alone."""

import colorsys
from dataclasses import dataclass

from .outlines import OUTLINES

# The numbers of choices are pairwise coprime: by the Chinese remainder theorem the first
# 16 * 11 * 7 * 5 * 3 = 18,480 ids get different appearances, and neighbouring ids differ in all.
# Hue (degrees), saturation, value.
COLOURS = {
    'red': (0, 0.85, 0.85),
    'teal': (172, 0.85, 0.65),
    'yellow': (50, 0.85, 0.95),
    'violet': (268, 0.65, 0.80),
    'green': (130, 0.75, 0.60),
    'orange': (24, 0.90, 0.95),
    'blue': (226, 0.80, 0.80),
    'lime': (84, 0.75, 0.85),
    'magenta': (312, 0.75, 0.85),
    'sky': (200, 0.60, 0.95),
    'brown': (24, 0.70, 0.45),
}
PATTERNS = ('striped', 'dotted', 'rimmed', 'checked', 'ringed', 'halved', 'wavy')
TONES = ('white', 'dark', 'contrasting', 'black', 'pale')
ASPECTS = {'compact': 1.0, 'slim': 2.2, 'wide': 1.5}
SHAPES = tuple(OUTLINES)


@dataclass(frozen=True)
class Appearance:
    """How a category looks.

    Args:
        shape: key of `outlines.OUTLINES`.
        aspect: length over width, 1 to 2.2.
        pattern: one of `PATTERNS`.
        colour, second: (hue in degrees, saturation, value), the latter two in [0, 1].
        size: factor on the box side, 0.75 to 1.35.
    """

    shape: str
    aspect: float
    pattern: str
    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    size: float


def appearance(category_id: int) -> Appearance:
    """Appearance of the category with this id (>= 1)."""
    shape, colour, pattern, tone, aspect = _choices(category_id)
    return Appearance(
        shape=shape,
        aspect=ASPECTS[aspect],
        pattern=pattern,
        colour=COLOURS[colour],
        second=_second(COLOURS[colour], tone),
        size=0.75 + 0.6 * (category_id * 0.6180339887 % 1),
    )


def category_record(category_id: int) -> dict:
    """Id, name, synset, synonyms and definition as in LVIS v1; the counts are added later."""
    shape, colour, pattern, tone, aspect = _choices(category_id)
    name = _name(category_id)
    return {
        'id': category_id,
        'name': name,
        'synset': f'{aspect}_{colour}_{shape}_{pattern}_{tone}.n.01',
        'synonyms': [name],
        'def': f'a {aspect} {colour} {shape}, {pattern} in a {tone} tone',
    }


def bgr(colour: tuple[float, float, float]) -> tuple[float, float, float]:
    """Blue, green, red in [0, 1] of a (degrees, saturation, value) colour."""
    red, green, blue = colorsys.hsv_to_rgb(colour[0] / 360 % 1, colour[1], colour[2])
    return blue, green, red


def _choices(category_id: int) -> tuple[str, str, str, str, str]:
    index = category_id - 1
    return (
        SHAPES[index % len(SHAPES)],
        tuple(COLOURS)[index % len(COLOURS)],
        PATTERNS[index % len(PATTERNS)],
        TONES[index % len(TONES)],
        tuple(ASPECTS)[index % len(ASPECTS)],
    )


def _name(category_id: int) -> str:
    """Name a category by as few of its traits as tell it from those with smaller ids."""
    shape, colour, pattern, tone, aspect = _choices(category_id)
    name = f'{colour}_{shape}'
    if category_id > len(SHAPES) * len(COLOURS):
        name = f'{pattern}_{name}'
    if category_id > len(SHAPES) * len(COLOURS) * len(PATTERNS):
        name = f'{aspect}_{name}_({tone})'
    return name


def _second(colour: tuple[float, float, float], tone: str) -> tuple[float, float, float]:
    hue, saturation, value = colour
    return {
        'white': (hue, 0.04, 0.97),
        'black': (hue, 0.20, 0.10),
        'dark': (hue, saturation, 0.45 * value),
        'pale': (hue, 0.35 * saturation, 0.5 + 0.5 * value),
        'contrasting': ((hue + 150) % 360, 0.75, 0.85),
    }[tone]
