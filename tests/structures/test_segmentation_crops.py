import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from plugins.structures.segmentation_crops import crops_of_segmentations

HEIGHT, WIDTH = 40, 57


def whole_images(segmentations):
    crops, origins = crops_of_segmentations(segmentations, HEIGHT, WIDTH)
    assert origins.dtype == np.int32
    images = np.zeros((len(crops), HEIGHT, WIDTH), np.uint8)
    for image, crop, (x, y) in zip(images, crops, origins, strict=True):
        assert crop.dtype == np.uint8
        image[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return images, crops


def rasterised(polygons):
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)))


coordinates = st.floats(-15, 70, allow_nan=False).map(lambda v: round(v, 2))
polygons = st.lists(coordinates, min_size=6, max_size=20).map(lambda p: p[: len(p) // 2 * 2])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(polygons, min_size=1, max_size=3), max_size=5))
def test_polygons_give_the_pixels_of_pycocotools(objects):
    images, _ = whole_images(objects)
    for image, rings in zip(images, objects, strict=True):
        np.testing.assert_array_equal(image, rasterised(rings))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_codes_give_their_pixels_in_a_tight_crop(seed, density):
    rng = np.random.default_rng(seed)
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    top, left = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
    bitmap[top:, left:] = rng.random((HEIGHT - top, WIDTH - left)) < density
    code = coco_mask.encode(bitmap)
    runs = np.diff(np.flatnonzero(np.diff(bitmap.ravel('F'), prepend=0)), prepend=0)
    runs = [*runs.tolist(), bitmap.size - int(runs.sum())]
    forms = [
        code,
        dict(size=[HEIGHT, WIDTH], counts=code['counts'].decode()),
        dict(size=[HEIGHT, WIDTH], counts=runs),
    ]
    images, crops = whole_images(forms)
    for image, crop in zip(images, crops, strict=True):
        np.testing.assert_array_equal(image, bitmap)
        if bitmap.any():
            ys, xs = np.nonzero(bitmap)
            last_rows = ys[xs < xs.max()] if np.ptp(xs) else ys
            assert crop.shape[1] == np.ptp(xs) + 1
            assert crop.shape[0] in (np.ptp(ys) + 1, HEIGHT), last_rows
        else:
            assert crop.shape == (0, 0)


def test_objects_without_polygons_or_pixels_have_empty_crops():
    images, crops = whole_images([[], [[5, 5, 5, 5, 5, 5]], [[-9, -9, -5, -9, -5, -5]]])
    assert not images[0].any()
    np.testing.assert_array_equal(images[1], rasterised([[5, 5, 5, 5, 5, 5]]))
    np.testing.assert_array_equal(images[2], rasterised([[-9, -9, -5, -9, -5, -5]]))
    assert crops[0].shape == (0, 0)


def test_no_objects_give_no_crops():
    crops, origins = crops_of_segmentations([], HEIGHT, WIDTH)
    assert crops == []
    assert origins.shape == (0, 2)


@pytest.mark.parametrize(
    'counts', [b'', b'1', b'l80', b'P^9', bytes(range(48, 112)), b'zzzzzzzzzzzzzzzzzzzz'], ids=str
)
def test_a_broken_code_is_an_error_that_says_which(counts):
    good = coco_mask.encode(np.ones((HEIGHT, WIDTH), np.uint8, order='F'))
    with pytest.raises(ValueError, match='object 1 is not a complete code of 40 x 57'):
        crops_of_segmentations([good, dict(size=[HEIGHT, WIDTH], counts=counts)], HEIGHT, WIDTH)


def test_a_code_of_another_size_is_an_error():
    code = coco_mask.encode(np.ones((8, 9), np.uint8, order='F'))
    with pytest.raises(ValueError, match='8 x 9 pixels, the image has 40 x 57'):
        crops_of_segmentations([code], HEIGHT, WIDTH)


def test_objects_of_real_photographs_give_the_pixels_of_pycocotools(shared):
    path = shared / 'data/coco_small/annotations/instances_val.json'
    data = json.loads(path.read_text())
    for image in data['images'][:20]:
        segmentations = [
            a['segmentation'] for a in data['annotations'] if a['image_id'] == image['id']
        ]
        size = image['height'], image['width']
        crops, origins = crops_of_segmentations(segmentations, *size)
        for crop, (x, y), segmentation in zip(crops, origins, segmentations, strict=True):
            code = coco_mask.frPyObjects(segmentation, *size)
            expected = coco_mask.decode(coco_mask.merge(code) if isinstance(code, list) else code)
            height, width = crop.shape
            np.testing.assert_array_equal(crop, expected[y : y + height, x : x + width])
            assert crop.sum() == expected.sum() > 0
