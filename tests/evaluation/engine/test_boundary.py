"""Boundary IoU against bitmaps, and against the published definition."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine.boundary import boundary_iou, boundary_radius, overlap

SHAPES = st.tuples(
    st.sampled_from(['rectangle', 'ellipse', 'ring', 'dust']), *[st.integers(0, 99)] * 4
)


def intervals(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps = np.diff(np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]]))
    return np.flatnonzero(steps == 1).astype(np.int32), np.flatnonzero(steps == -1).astype(np.int32)


def boundary(mask: np.ndarray, dilation_ratio: float) -> np.ndarray:
    """As the authors define it: the mask without what repeated 3 x 3 erosion leaves."""
    height, width = mask.shape
    iterations = max(1, round(dilation_ratio * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=iterations)
    return mask - eroded[1:-1, 1:-1]


def draw(shape: tuple, height: int, width: int) -> np.ndarray:
    kind, *numbers = shape
    x, y, w, h = (n * size // 100 for n, size in zip(numbers, [width, height] * 2, strict=True))
    mask = np.zeros((height, width), np.uint8)
    if kind == 'rectangle':
        mask[y : y + h + 1, x : x + w + 1] = 1
    elif kind == 'dust':
        mask[:] = np.random.default_rng(numbers).random(mask.shape) < 0.5
    else:
        cv2.ellipse(mask, (x, y), (w, h), 0, 0, 360, 1, -1)
        if kind == 'ring':
            cv2.ellipse(mask, (x, y), (w // 2, h // 2), 0, 0, 360, 0, -1)
    return mask


@settings(max_examples=300, deadline=None)
@given(
    shapes=st.tuples(SHAPES, SHAPES),
    size=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    dilation_ratio=st.sampled_from([0.02, 0.05, 0.2]),
)
def test_boundary_iou_is_that_of_the_bitmaps(shapes, size, dilation_ratio):
    masks = [draw(shape, *size) for shape in shapes]
    first, second = (boundary(mask, dilation_ratio) for mask in masks)
    union = np.sum(first | second)
    expected = np.sum(first & second) / union if union else 0.0
    lists = [intervals(mask) for mask in masks]
    assert boundary_iou(*lists, *size, dilation_ratio=dilation_ratio) == expected
    assert overlap(*lists[0], len(lists[0][0]), *lists[1], len(lists[1][0])) == np.sum(
        masks[0] & masks[1]
    )


def test_boundary_of_an_object_narrower_than_the_square_is_the_object():
    mask, moved = np.zeros((2, 480, 640), np.uint8)
    mask[100:300, 200:232] = 1
    moved[100:300, 208:240] = 1
    assert boundary_radius(480, 640) == 16
    assert boundary_iou(intervals(mask), intervals(moved), 480, 640) == 24 / 40
    # One column more, and the middle is no longer boundary.
    mask[100:300, 232] = 1
    inside = 200 - 2 * 16
    iou = boundary_iou(intervals(mask), intervals(moved), 480, 640)
    assert iou == (25 * 200 - inside) / (40 * 200)


def test_boundary_iou_sees_what_mask_iou_forgives_on_large_objects():
    mask, moved = np.zeros((2, 400, 400), np.uint8)
    mask[50:350, 50:350] = 1
    moved[50:350, 60:360] = 1
    assert np.sum(mask & moved) / np.sum(mask | moved) > 0.93
    assert boundary_iou(intervals(mask), intervals(moved), 400, 400) < 0.5


def test_empty_masks_have_no_boundary():
    empty = intervals(np.zeros((40, 40), np.uint8))
    full = intervals(np.ones((40, 40), np.uint8))
    assert boundary_iou(empty, empty, 40, 40) == 0
    assert boundary_iou(empty, full, 40, 40) == 0
    assert boundary_iou(full, full, 40, 40) == 1


@pytest.mark.parametrize(
    ('height', 'width', 'radius'), [(480, 640, 16), (1, 1, 1), (75, 100, 2), (105, 140, 4)]
)
def test_radius_is_the_rounded_share_of_the_diagonal(height, width, radius):
    # 0.02 of the diagonal: 16, 0.03, 2.5 and 3.5; halves go to the even neighbour.
    assert boundary_radius(height, width) == radius


def test_radius_of_many_images_is_that_of_each():
    rng = np.random.default_rng(0)
    height, width = rng.integers(1, 2000, (2, 500))
    expected = [
        max(1, round(0.02 * np.sqrt(h**2 + w**2)))
        for h, w in zip(height.tolist(), width.tolist(), strict=True)
    ]
    assert boundary_radius(height, width).tolist() == expected
