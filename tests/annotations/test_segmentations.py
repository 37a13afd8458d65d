import math

import pytest

from plugins.annotations.segmentations import polygon_boxes


@pytest.mark.parametrize(
    ('segmentation', 'code'),
    [
        (None, 'no-mask'),
        ([], 'no-mask'),
        ([[1, 2, 3, 4]], 'short-polygon'),
        ([[1, 2, 3, 4, 5, 6, 7]], 'odd-polygon'),
        ([[1, 2, 3, 4, 5, math.nan]], 'nan-polygon'),
        ([[1, 2, 3, math.inf, 5, -math.inf]], 'nan-polygon'),
        ([[1e12, 2, 3, 4, 5, 6]], 'nan-polygon'),
        ([[1, 2, 3, 4, 5, '6']], 'polygon-type'),
        ([[[1, 2], [3, 4], [5, 6], [1, 2], [3, 4], [5, 6]]], 'polygon-type'),
        ([1, 2, 3, 4, 5, 6], 'polygon-type'),
        ('text', 'polygon-type'),
        ([[10, 10, 30, 10, 30, 30], [1, 2, 3, 4, 5, 6, 7]], 'odd-polygon'),
        ({'size': [48, 64], 'counts': [48 * 64 - 1]}, 'rle'),
        ({'size': [64, 48], 'counts': [48 * 64]}, 'rle'),
        ({'counts': [48 * 64]}, 'rle'),
        ({'size': [48, 64]}, 'rle'),
    ],
)
def test_unusable_masks_are_named(lvis_data, problem_of, segmentation, code):
    lvis_data['annotations'][1]['segmentation'] = segmentation
    found = problem_of(lvis_data)
    assert found.code == code
    assert found.examples[0].startswith('annotation 12 (image 1)')
    assert found.fatal


def test_a_run_length_mask_of_the_right_size_is_accepted(lvis_data):
    from plugins.annotations import find_problems

    lvis_data['annotations'][1]['segmentation'] = {'size': [48, 64], 'counts': [100, 48 * 64 - 100]}
    assert find_problems(lvis_data) == []


def test_an_annotation_with_two_bad_polygons_counts_once(lvis_data, problem_of):
    lvis_data['annotations'][0]['segmentation'] = [[1, 2, 3, 4, 5, 6, 7]] * 2
    assert problem_of(lvis_data).count == 1


def test_polygon_boxes_enclose_all_parts():
    rings = [[5, 7, 9, 7, 9, 8], [1, 20, 2, 20, 2, 30]]
    boxes = polygon_boxes([{'segmentation': rings}, {'segmentation': {'counts': ''}}, {}])
    assert boxes[0].tolist() == [1, 7, 8, 23]
    assert all(math.isnan(value) for value in boxes[1:].ravel())
