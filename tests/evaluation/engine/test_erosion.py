"""Erosion on intervals against OpenCV's erosion of the bitmap."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine.erosion import erode, erosion_buffers


def intervals(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]])
    steps = np.diff(pixels)
    return np.flatnonzero(steps == 1).astype(np.int32), np.flatnonzero(steps == -1).astype(np.int32)


def bitmap(start: np.ndarray, end: np.ndarray, height: int, width: int) -> np.ndarray:
    pixels = np.zeros(height * width, np.uint8)
    for low, high in zip(start, end, strict=True):
        assert low < high
        assert not pixels[low:high].any()
        pixels[low:high] = 1
    return pixels.reshape(width, height).T


def opencv_erosion(mask: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    padded = np.pad(mask, radius)
    eroded = cv2.erode(padded, np.ones((side, side), np.uint8))
    return eroded[radius:-radius, radius:-radius]


def erosion(mask: np.ndarray, radius: int) -> np.ndarray:
    """Erode, and check on the way that nothing is written behind the promised memory."""
    start, end = intervals(mask)
    result, scratch = (np.pad(b, ((0, 0), (0, 1))) for b in erosion_buffers(*mask.shape, radius))
    result[:, -1] = scratch[:, -1] = -7
    n = erode(start, end, len(start), *mask.shape, radius, *result, scratch)
    assert (result[:, -1] == -7).all()
    assert (scratch[:, -1] == -7).all()
    assert (np.diff(result[0, :n]) > 0).all()
    return bitmap(*result[:, :n], *mask.shape)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 50)), draw(st.integers(1, 50))
    mask = np.full((height, width), draw(st.booleans()), np.uint8)
    boxes = st.tuples(
        st.integers(0, 49), st.integers(0, 49), st.integers(1, 50), st.integers(1, 50)
    )
    for x, y, w, h in draw(st.lists(boxes, max_size=12)):
        mask[y : y + h, x : x + w] = draw(st.booleans())
    return mask


@settings(max_examples=300, deadline=None)
@given(mask=masks(), radius=st.integers(1, 9))
def test_rectangles_in_and_out_are_eroded_as_by_opencv(mask, radius):
    assert np.array_equal(erosion(mask, radius), opencv_erosion(mask, radius))


@pytest.mark.parametrize('seed', range(40))
def test_masks_with_scattered_holes_are_eroded_as_by_opencv(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(20, 200, 2)
    mask = (rng.random((height, width)) > rng.choice([0.0005, 0.003, 0.02])).astype(np.uint8)
    radius = int(rng.integers(1, 7))
    assert np.array_equal(erosion(mask, radius), opencv_erosion(mask, radius))


@pytest.mark.parametrize('radius', [1, 2, 5])
def test_most_runs_a_column_can_hold_fit_into_the_buffers(radius):
    period = 2 * radius + 2
    mask = np.ones((10 * period - 1, 8 * radius), np.uint8)
    mask[period - 1 :: period] = 0
    expected = opencv_erosion(mask, radius)
    assert expected[:, 4 * radius].sum() == 10
    assert np.array_equal(erosion(mask, radius), expected)


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (3, 3), (40, 30), (480, 640)])
def test_image_border_counts_as_background(height, width):
    eroded = erosion(np.ones((height, width), np.uint8), 1)
    assert eroded.sum() == max(0, height - 2) * max(0, width - 2)


@pytest.mark.parametrize('radius', [1, 7, 100])
def test_nothing_remains_of_what_is_narrower_than_the_square(radius):
    mask = np.zeros((60, 50), np.uint8)
    assert not erosion(mask, radius).any()
    mask[30, 20] = 1
    assert not erosion(mask, radius).any()
    mask[:, 20 : 20 + 2 * radius] = 1
    assert erosion(mask, radius).sum() == opencv_erosion(mask, radius).sum() == 0


def test_thin_columns_leave_nothing_however_many_there_are():
    mask = np.ones((100, 120), np.uint8)
    mask[:, ::3] = 0
    assert not erosion(mask, 2).any()


def test_touching_and_empty_intervals_are_one_run():
    height, width, radius = 20, 20, 2
    start = np.array([40, 45, 45, 300, 360], np.int32)
    end = np.array([45, 45, 300, 360, 360], np.int32)
    (out_start, out_end), scratch = erosion_buffers(height, width, radius)
    n = erode(start, end, 5, height, width, radius, out_start, out_end, scratch)
    expected = np.zeros((height, width), np.uint8)
    expected[2:18, 4:16] = 1
    assert np.array_equal(bitmap(out_start[:n], out_end[:n], height, width), expected)


def test_buffers_for_several_images_serve_each_of_them():
    sizes = np.array([[30, 200, 1], [200, 30, 4], [90, 90, 12]])
    (out_start, out_end), scratch = erosion_buffers(*sizes.T)
    for height, width, radius in sizes.tolist():
        mask = np.ones((height, width), np.uint8)
        mask[:: 2 * radius + 2] = 0
        start, end = intervals(mask)
        n = erode(start, end, len(start), height, width, radius, out_start, out_end, scratch)
        expected = opencv_erosion(mask, radius)
        assert np.array_equal(bitmap(out_start[:n], out_end[:n], height, width), expected)
