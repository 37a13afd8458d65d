import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.annotations.cache.scanning import OTHER, gather, scan_polygons


def scanned(*texts: str) -> tuple[list, list, list]:
    return tuple(array.tolist() for array in scan_polygons([text.encode() for text in texts]))


def test_numbers_become_hundredths():
    text = '[[0,1.5,-2.25,10.00,-0.01,899999.99]]'
    assert scanned(text) == ([0, 150, -225, 1000, -1, 89999999], [6], [1])


def test_white_space_is_skipped():
    text = ' [\n[ 1 ,\t2,3 , 4.5\r,5,6 ] , [1,2,3,4,5,6,7,8]\n] '
    coordinates, lengths, counts = scanned(text)
    assert (coordinates[3], lengths, counts) == (450, [6, 8], [2])


@pytest.mark.parametrize(
    'text',
    [
        'null', '{"size": [1, 2]}', '[]', '[[]]', '[1,2,3,4,5,6]', '[[1,2,3,4]]',
        '[[1,2,3,4,5,6,7]]', '[[1,2,3,4,5,6],[1,2]]', '[[1,2,3,4,5,6],null]',
        '[[1,2,3,4,5,"6"]]', '[[1,2,3,4,5,6e0]]', '[[1,2,3,4,5,6E1]]', '[[1,2,3,4,5,6.001]]',
        '[[1,2,3,4,5,900000]]', '[[1,2,3,4,5,12345678901234567890]]', '[[1,2,3,4,5,[6]]]',
        '[[1,2,3,4,5,6],[[1]]]', 'true', '"[[1,2,3,4,5,6]]"', '[[1,2,3,4,5,6.5e1]]',
    ],
)  # fmt: skip
def test_anything_else_is_left_to_a_general_parser(text):
    good = '[[1,2,3,4,5,6]]'
    coordinates, lengths, counts = scanned(good, text, good)
    assert coordinates == [100, 200, 300, 400, 500, 600] * 2
    assert (lengths, counts) == ([6, 6], [1, OTHER, 1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.lists(st.integers(-89_999_999, 89_999_999), min_size=6, max_size=6),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_hundredth_divided_by_100_is_what_json_reads(annotations):
    texts = [
        '[' + ','.join('[' + ','.join(map(_decimal, ring)) + ']' for ring in rings) + ']'
        for rings in annotations
    ]
    coordinates, _, counts = scan_polygons([text.encode() for text in texts])
    assert counts.tolist() == list(map(len, annotations))
    expected = [v for text in texts for ring in json.loads(text) for v in ring]
    assert (coordinates / 100.0).tolist() == expected


def _decimal(hundredths: int) -> str:
    sign, digits = '-' * (hundredths < 0), f'{abs(hundredths):03d}'
    return f'{sign}{digits[:-2]}.{digits[-2:]}'


def test_stretches_are_copied_one_after_the_other():
    for dtype in (np.int32, np.float64):
        target = np.zeros(5, dtype)
        gather(np.arange(10, dtype=dtype), np.array([7, 3, 0]), np.array([2, 0, 3]), target)
        assert target.tolist() == [7, 8, 0, 1, 2]


def test_no_text_is_no_polygon():
    assert scanned() == ([], [], [])
