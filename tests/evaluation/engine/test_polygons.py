"""Polygons are filled exactly as pycocotools fills them."""

import json

import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine.polygons import rasterise
from tests.evaluation.engine.plain_records import intervals

COORDINATES = st.one_of(
    st.integers(-8, 40).map(float),
    st.integers(-80, 400).map(lambda tenths: tenths / 10),
    st.floats(-20, 60, allow_nan=False),
    st.sampled_from([0.5, 12.3, -0.1, 0.0]),
)
RINGS = st.lists(st.lists(COORDINATES, min_size=6, max_size=16), min_size=1, max_size=3).map(
    lambda rings: [ring[: len(ring) // 2 * 2] for ring in rings]
)
MASKS = st.lists(st.tuples(RINGS, st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3)


def fill(masks):
    """`rasterise` of (rings, height, width) triples."""
    rings = [ring for one, _, _ in masks for ring in one]
    return rasterise(
        np.concatenate([np.array(ring, np.float64) for ring in rings]),
        np.cumsum([0, *map(len, rings)]),
        np.cumsum([0, *(len(one) for one, _, _ in masks)]),
        np.array([height for _, height, _ in masks], np.int32),
        np.array([width for _, _, width in masks], np.int32),
    )


def reference(rings, height, width):
    return intervals(mask_util.merge(mask_util.frPyObjects(rings, height, width)))


def assert_equal_to_reference(masks):
    offset, start, end = fill(masks)
    for k, mask in enumerate(masks):
        expected_start, expected_end = reference(*mask)
        assert start[offset[k] : offset[k + 1]].tolist() == expected_start.tolist()
        assert end[offset[k] : offset[k + 1]].tolist() == expected_end.tolist()


@settings(max_examples=400, deadline=None)
@given(MASKS)
def test_pixels_are_those_of_pycocotools(masks):
    assert_equal_to_reference(masks)


@pytest.mark.parametrize(
    'ring',
    [
        [5.0, 5.0] * 3,
        [2.0, 2.0, 9.0, 2.0, 5.0, 2.0],
        [3.0, 1.0, 3.0, 9.0, 3.0, 4.0],
        [0, 0, 12, 0, 12, 10, 0, 10],
        [-5, -5, 30, -5, 30, 30, -5, 30],
        [-9, 2, -3, 2, -3, 8, -9, 8],
        [2, 2, 8, 8, 8, 2, 2, 8],
        [1, 1, 9, 1, 9, 9, 1, 9, 1, 1, 9, 9],
        [1.3, 1.3, 1.6, 1.3, 1.6, 1.6, 1.3, 1.6],
        [11.5, 0, 12.5, 0, 12.5, 10, 11.5, 10],
    ],
    ids=[
        'point', 'flat line', 'steep line', 'whole image', 'beyond the image', 'left of the image',
        'bow tie', 'traced twice', 'smaller than a pixel', 'at the right border',
    ],
)  # fmt: skip
def test_degenerate_polygons_are_filled_as_by_pycocotools(ring):
    assert_equal_to_reference([([[float(c) for c in ring]], 10, 12)])


def test_rings_of_a_mask_are_united_and_touching_intervals_joined():
    left, right = [0, 0, 4, 0, 4, 8, 0, 8], [3, 0, 9, 0, 9, 8, 3, 8]
    offset, start, end = fill([([left, right], 8, 9), ([left], 8, 9)])
    assert offset.tolist() == [0, 1, 2]
    assert (start.tolist(), end.tolist()) == ([0, 0], [72, 32])


def test_an_outline_far_outside_costs_no_more_than_its_columns():
    square = [-1e6, -1e6, 1e6, -1e6, 1e6, 1e6, -1e6, 1e6]
    _, start, end = fill([([square], 480, 640)] * 1000)
    assert (start == 0).all()
    assert (end == 480 * 640).all()


def test_no_mask_gives_no_interval():
    none = np.zeros(0, np.int32)
    offset, start, end = rasterise(np.zeros(0), np.zeros(1, int), np.zeros(1, int), none, none)
    assert (offset.tolist(), len(start), len(end)) == ([0], 0, 0)


def test_annotations_of_lvis_are_filled_as_by_pycocotools(shared):
    data = json.loads((shared / 'golden/eval/lvis_val_100.json').read_text())
    images = {image['id']: image for image in data['images']}
    masks = [
        (a['segmentation'], images[a['image_id']]['height'], images[a['image_id']]['width'])
        for a in data['annotations'][::4]
    ]
    assert_equal_to_reference(masks)
