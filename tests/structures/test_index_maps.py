import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.structures import index_maps


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_resizing_repeats_and_drops_what_the_image_library_does(old, new):
    # As many columns as tell every pixel from its neighbours.
    image = (np.arange(old) % 251).astype(np.uint8)[None]
    resized = mmcv.imresize(image, (new, 1), interpolation='nearest')
    found = index_maps.resized(index_maps.identity(old), new)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found % 251, resized[0])
    assert np.abs(np.diff(found)).max(initial=0) <= old / new + 1


def test_numbers_of_pixels_beyond_a_byte_survive_resizing():
    found = index_maps.resized(index_maps.identity(70000), 140000)
    np.testing.assert_array_equal(found, np.arange(140000) // 2)


def test_padding_stays_padding():
    padded = index_maps.placed(index_maps.identity(4), 8, 2)
    assert padded.tolist() == [-1, -1, 0, 1, 2, 3, -1, -1]
    assert index_maps.resized(padded, 4).tolist() == [-1, 0, 2, -1]


def test_the_other_image_library_is_asked_where_it_resizes(monkeypatch):
    monkeypatch.setattr(mmcv.image.geometric, 'imread_backend', 'pillow')
    image = np.arange(100, dtype=np.uint8)[None]
    found = index_maps.resized(index_maps.identity(100), 37)
    expected = mmcv.imresize(image, (37, 1), interpolation='nearest')[0]
    np.testing.assert_array_equal(found, expected)
    by_opencv = cv2.resize(image, (37, 1), interpolation=cv2.INTER_NEAREST)[0]
    assert (expected != by_opencv).any()


@pytest.mark.parametrize('start', [-9, -3, 0, 4, 7, 30])
def test_a_canvas_shows_the_frame_from_its_start(start):
    expected = [i - start if 0 <= i - start < 6 else -1 for i in range(10)]
    assert index_maps.placed(index_maps.identity(6), 10, start).tolist() == expected
