import math

import pytest


@pytest.mark.parametrize(
    'box',
    [
        None,
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        ['1', '2', '3', '4'],
        [math.nan, 0, 1, 1],
        [0, 0, math.inf, 1],
        {'x': 1},
        [1, 2, [3], 4],
        [10**400, 0, 1, 1],
    ],
)
def test_a_box_must_be_four_finite_numbers(lvis_data, problem_of, box):
    lvis_data['annotations'][1]['bbox'] = box
    found = problem_of(lvis_data)
    assert found.code == 'bad-box'
    assert found.examples == ('annotation 12 (image 1)',)
    assert found.fatal


def test_text_boxes_are_not_converted_in_silence(lvis_data, problem_of):
    for record in lvis_data['annotations']:
        record['bbox'] = [str(value) for value in record['bbox']]
    assert problem_of(lvis_data).count == 5


@pytest.mark.parametrize(
    ('box', 'code', 'fatal'),
    [
        ([10, 10, -5, 5], 'negative-box', True),
        ([10, 10, 0, 5], 'empty-box', False),
        ([64, 10, 5, 5], 'box-outside', True),
        ([10, -5, 5, 5], 'box-outside', True),
        ([60, 10, 7, 5], 'box-partly-outside', True),
        ([-2.5, 10, 7, 5], 'box-partly-outside', True),
    ],
)
def test_boxes_that_are_not_inside_the_image(lvis_data, problem_of, box, code, fatal):
    lvis_data['annotations'][3]['bbox'] = box
    found = problem_of(lvis_data)
    assert (found.code, found.fatal) == (code, fatal)
    assert found.examples == ('annotation 14 (image 2)',)


def test_two_pixels_of_rounding_are_accepted(lvis_data):
    from plugins.annotations import find_problems

    lvis_data['annotations'][3]['bbox'] = [-2, -2, 68, 52]
    assert find_problems(lvis_data) == []


@pytest.mark.parametrize(
    ('area', 'code', 'fatal'),
    [(None, 'no-area', True), ('4', 'no-area', True), (0, 'empty-area', False)],
)
def test_areas(lvis_data, problem_of, area, code, fatal):
    lvis_data['annotations'][4]['area'] = area
    found = problem_of(lvis_data)
    assert (found.code, found.fatal) == (code, fatal)


def test_a_box_away_from_its_polygons_is_found_by_the_thorough_check(lvis_data, problem_of):
    lvis_data['annotations'][2]['bbox'] = [10.0, 16.0, 20.0, 20.0]
    assert problem_of(lvis_data, thorough=True).code == 'polygon-box'


def test_a_polygon_beyond_the_border_agrees_with_its_clipped_box(lvis_data):
    from plugins.annotations import find_problems

    lvis_data['annotations'][2]['segmentation'] = [[40, 10, 90, 10, 90, 30, 40, 30]]
    lvis_data['annotations'][2]['bbox'] = [40, 10, 24, 20]
    assert find_problems(lvis_data, thorough=True) == []


def test_lvis_v05_has_boxes_that_were_not_rotated_with_their_images(shared, problem_of):
    from plugins.annotations import read_annotations

    found = problem_of(read_annotations(shared / 'golden/eval/lvis_val_100.json'), thorough=True)
    assert (found.code, found.count) == ('polygon-box', 13)
