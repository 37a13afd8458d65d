import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from plugins.annotations.repairs import clip_box, repair_annotation

_TRIANGLE = [10.0, 10.0, 30.0, 10.0, 30.0, 26.0]


def _repair(**changes) -> tuple[dict | None, list[str]]:
    record = {'bbox': [10.0, 10.0, 20.0, 16.0], 'area': 160.0, 'segmentation': [_TRIANGLE]}
    codes: list[str] = []
    return repair_annotation({**record, **changes}, 64, 48, codes.append), codes


def test_a_sound_annotation_is_left_alone():
    repaired, codes = _repair(extra=1)
    assert codes == []
    assert repaired['bbox'] == [10.0, 10.0, 20.0, 16.0]
    assert repaired['segmentation'] == [_TRIANGLE]
    assert repaired['extra'] == 1


@pytest.mark.parametrize(
    'box', [None, [0, 0, 0, 0], [float('nan')] * 4, [70, 0, 5, 5], [10, 10, 30, 26]]
)
def test_wrong_boxes_are_computed_from_the_polygons(box):
    repaired, codes = _repair(bbox=box)
    assert codes == ['box-recomputed']
    assert repaired['bbox'] == [10, 10, 20, 16]


def test_a_box_over_the_border_is_clipped():
    repaired, codes = _repair(
        bbox=[44, 30, 22, 20], segmentation=[[44, 30, 64, 30, 64, 48, 44, 48]]
    )
    assert codes == ['box-clipped']
    assert repaired['bbox'] == [44, 30, 20, 18]


@pytest.mark.parametrize(
    ('ring', 'code'),
    [
        ([1, 2, 3, 4], 'short-polygon-dropped'),
        ([1, 2, 3, 4, 5, 6, 7], 'odd-polygon-dropped'),
        ([1, 2, 3, 4, 5, float('nan')], 'nan-polygon-dropped'),
        ('text', 'polygon-type-dropped'),
    ],
)
def test_bad_polygons_go_and_good_ones_stay(ring, code):
    repaired, codes = _repair(segmentation=[_TRIANGLE, ring])
    assert codes == [code]
    assert repaired['segmentation'] == [_TRIANGLE]
    repaired, codes = _repair(segmentation=[ring])
    assert repaired is None
    assert codes == [code, 'degenerate']


def test_a_bare_polygon_is_put_into_a_list():
    repaired, codes = _repair(segmentation=_TRIANGLE)
    assert (repaired['segmentation'], codes) == ([_TRIANGLE], ['flat-polygon'])


def test_without_a_mask_the_box_becomes_the_mask():
    repaired, codes = _repair(segmentation=[], bbox=[-4, 2, 10, 5], area=None)
    assert codes == ['box-as-mask']
    assert repaired['bbox'] == [0, 2, 6, 5]
    assert repaired['area'] == 30
    drawn = coco_mask.decode(coco_mask.frPyObjects(repaired['segmentation'], 48, 64)[0])
    assert drawn.sum() == 30
    assert _repair(segmentation=[], bbox=[1, 1, 0, 5]) == (None, ['nothing-usable'])


def test_a_missing_area_is_counted_from_the_mask():
    repaired, codes = _repair(area=None)
    assert codes == ['area-recomputed']
    assert repaired['area'] == coco_mask.area(coco_mask.frPyObjects([_TRIANGLE], 48, 64))[0]


@pytest.mark.parametrize(
    'ring', [[10, 10, 20, 10, 30, 10], [5, 5, 5, 5, 5, 5], [70, 5, 80, 5, 80, 20]]
)
def test_masks_without_a_pixel_in_the_image_are_dropped(ring):
    assert _repair(segmentation=[ring], area=0) == (None, ['degenerate'])


def test_uncompressed_masks_are_compressed():
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:30] = 1
    runs = np.diff(np.flatnonzero(np.diff(np.r_[2, mask.ravel('F'), 2]))).tolist()
    repaired, codes = _repair(
        segmentation={'size': [48, 64], 'counts': runs}, bbox=[10, 10, 20, 10]
    )
    assert codes == ['rle-compressed']
    np.testing.assert_array_equal(coco_mask.decode(repaired['segmentation']), mask)


def test_a_mask_of_another_size_is_dropped():
    assert _repair(segmentation={'size': [4, 4], 'counts': [16]}) == (
        None,
        ['rle-dropped', 'degenerate'],
    )


@given(st.lists(st.floats(-100, 200), min_size=4, max_size=4))
def test_clipped_boxes_lie_inside_and_have_the_overlap_as_area(box):
    x, y, w, h = box
    overlap = max(0, min(x + w, 64) - max(x, 0)) * max(0, min(y + h, 48) - max(y, 0))
    clipped = clip_box(box, 64, 48)
    if clipped is None:
        assert w <= 0 or h <= 0 or overlap == 0
    else:
        left, top, width, height = clipped
        assert left >= -0.01
        assert top >= -0.01
        assert left + width <= 64.011
        assert top + height <= 48.011
        assert width * height == pytest.approx(overlap, abs=2)
