import base64

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from plugins.evaluation.report.crops import (
    ANNOTATION_BGR,
    DETECTION_BGR,
    draw_crop,
    region_around,
)


def decoded(address):
    kind, _, content = address.partition(',')
    assert kind == 'data:image/jpeg;base64'
    return cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)


def has_colour(picture, colour):
    return (np.abs(picture.astype(int) - np.array(colour)).max(axis=2) < 60).sum() > 50


@given(
    st.tuples(*[st.floats(-20, 140)] * 2, *[st.floats(0, 200)] * 2),
    st.integers(1, 120),
    st.integers(1, 120),
)
def test_a_region_is_inside_the_image_and_never_empty(box, height, width):
    left, top, right, bottom = region_around([np.array(box)], height, width)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_a_region_shows_every_box_with_context():
    boxes = [np.array([100, 100, 20, 20]), np.array([150, 110, 20, 40])]
    left, top, right, bottom = region_around(boxes, 400, 400)
    assert left < 100 - 10 and top < 100 - 10
    assert right > 170 + 10 and bottom > 150 + 10


def test_a_crop_has_the_proportions_of_its_region():
    picture = decoded(draw_crop(None, (10, 10, 110, 60), None, None))
    assert picture.shape == (112, 224, 3)


def test_a_crop_shows_the_picture_and_both_outlines():
    picture = np.full((100, 100, 3), (0, 160, 0), np.uint8)
    mask = np.zeros((100, 100), np.uint8, order='F')
    mask[20:50, 20:50] = 1
    crop = decoded(draw_crop(picture, (0, 0, 100, 100), coco_mask.encode(mask), [55, 55, 30, 30]))
    assert has_colour(crop, (0, 160, 0))
    assert has_colour(crop, DETECTION_BGR)
    assert has_colour(crop, ANNOTATION_BGR)


@pytest.mark.parametrize('region', [(0, 0, 1, 1), (0, 0, 500, 1)])
def test_the_narrowest_regions_can_be_drawn(region):
    assert max(decoded(draw_crop(None, region, [0, 0, 1, 1], None)).shape) == 224


def test_a_mask_outside_the_region_draws_nothing():
    mask = np.zeros((100, 100), np.uint8, order='F')
    mask[80:, 80:] = 1
    plain = decoded(draw_crop(None, (0, 0, 50, 50), None, None))
    assert np.array_equal(
        decoded(draw_crop(None, (0, 0, 50, 50), coco_mask.encode(mask), None)), plain
    )
