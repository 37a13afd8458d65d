import numpy as np
import pytest

from plugins.annotations.problems import annotation_problem, problem


@pytest.mark.parametrize(
    ('count', 'text'),
    [
        (1, '1 box is odd: a'),
        (3, '3 boxes is odd: a, b, c'),
        (1234, '1,234 boxes is odd: a, b, c and 1,231 more'),
    ],
)
def test_a_line_names_the_first_places_and_how_many_more(count, text):
    places = ['a', 'b', 'c', 'd'][: min(count, 4)]
    assert str(problem('x', places, 'box', 'is odd', count=count)) == text


def test_nothing_found_is_no_problem():
    assert problem('x', [], 'box', 'is odd') is None
    assert annotation_problem([], np.zeros(0, bool), 'x', 'odd', '') is None


def test_the_remedy_ends_the_line():
    found = annotation_problem(
        [{'id': 4, 'image_id': 7}], np.array([True]), 'x', 'that is odd', 'mend it'
    )
    assert str(found) == '1 annotation that is odd: annotation 4 (image 7); mend it'


def test_plurals():
    for noun, plural in (('category', 'categories'), ('image', 'images'), ('mask', 'masks')):
        assert problem('x', ['a', 'b'], noun, 'odd').message == f'2 {plural} odd'
