"""Small random data sets that are rich in borderline cases."""

import numpy as np
import pycocotools.mask as mask_util
from hypothesis import strategies as st

HEIGHT, WIDTH = 36, 40
CATEGORIES = (11, 3, 8)
IMAGES = (70, 4, 22)
UNKNOWN_CATEGORY = 99
# At the limits of the ranges, between them, and none at all.
AREAS = (0, 5.5, 500, 600, 1023, 1024, 1024.5, 9216, 9217)
SCORES = (0.1, 0.5, 0.5, 0.9, 1.5, -0.5, 0.0)
# A square, its neighbours (all as far from it), one slightly larger, and one with a hole that
# agrees better with it in the boundary than in the mask.
NEIGHBOURS = (
    [(8, 8, 20, 20)],
    [(4, 8, 20, 20)],
    [(12, 8, 20, 20)],
    [(8, 4, 20, 20)],
    [(8, 12, 20, 20)],
    [(8, 8, 20, 21)],
    [(8, 8, 20, 3), (8, 25, 20, 3), (8, 8, 3, 20), (25, 8, 3, 20)],
)


def code_of(parts: list[tuple[int, int, int, int]]) -> dict:
    """The union of rectangles (x, y, width, height) as a compressed code."""
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    for x, y, width, height in parts:
        pixels[y : y + height, x : x + width] = 1
    code = mask_util.encode(pixels)
    return {'size': [HEIGHT, WIDTH], 'counts': code['counts'].decode()}


def lvis_set(seed: int, n_annotations: int, n_results: int) -> tuple[dict, list[dict]]:
    """An LVIS data set and results for it, both in the order of a file."""
    rng = np.random.default_rng(seed)
    images = [
        {
            'id': image_id,
            'height': HEIGHT,
            'width': WIDTH,
            'neg_category_ids': _some(rng, CATEGORIES),
            'not_exhaustive_category_ids': _some(rng, CATEGORIES),
        }
        for image_id in IMAGES
    ]
    categories = [
        {'id': category_id, 'name': f'c{category_id}', 'frequency': frequency}
        for category_id, frequency in zip(CATEGORIES, 'crf', strict=True)
    ]
    # Few groups have many members, many groups have few.
    spread = int(rng.integers(1, 4))
    annotations = [
        {
            'id': number + 1,
            **_object(rng, spread),
            'area': AREAS[rng.integers(len(AREAS))],
            'ignore': int(rng.random() < 0.25),
            'iscrowd': int(rng.random() < 0.25),
        }
        for number in range(n_annotations)
    ]
    results = [
        {**_object(rng, spread, empty=True), 'score': SCORES[rng.integers(len(SCORES))]}
        for _ in range(n_results)
    ]
    for result in results:
        if rng.random() < 0.1:
            result['category_id'] = UNKNOWN_CATEGORY
    return {'images': images, 'categories': categories, 'annotations': annotations}, results


def lvis_sets() -> st.SearchStrategy[tuple[dict, list[dict]]]:
    """Sets of all sizes, with one result or more."""
    return st.builds(lvis_set, st.integers(0, 2**32), st.integers(0, 12), st.integers(1, 25))


def _some(rng: np.random.Generator, values: tuple[int, ...]) -> list[int]:
    return [value for value in values if rng.random() < 0.3]


def _object(rng: np.random.Generator, spread: int, *, empty: bool = False) -> dict:
    parts = _rectangles(rng, empty)
    if rng.random() < 0.7:
        parts = NEIGHBOURS[rng.integers(len(NEIGHBOURS))]
    return {
        'image_id': IMAGES[rng.integers(spread)],
        'category_id': CATEGORIES[rng.integers(spread)],
        'segmentation': code_of(parts),
        'bbox': [float(value) for value in parts[0]],
    }


def _rectangles(rng: np.random.Generator, empty: bool) -> list[tuple[int, int, int, int]]:
    # From a coarse grid, so that IoUs often agree.
    parts = []
    for _ in range(rng.integers(1, 3)):
        x, y = (4 * rng.integers(0, 8, 2)).tolist()
        least = 0 if empty else 1
        width = 4 * int(rng.integers(least, (WIDTH - x) // 4 + 1))
        height = 4 * int(rng.integers(least, (HEIGHT - y) // 4 + 1))
        parts.append((x, y, width, height))
    return parts
