import numpy as np

from plugins.evaluation.report.choice import choose_examples

NAN = float('nan')


def chosen(precision, annotations, most=2):
    names = ['first', 'second'][: len(precision)]
    lists = choose_examples(np.array(precision), np.array(annotations), names, most)
    return {found.kind: found.categories for found in lists}


def test_worst_and_best_leave_undefined_categories_out():
    assert chosen([[0.5, NAN, 0.1, 0.9]], [1, 0, 1, 1]) == {'worst': [2, 0], 'best': [3, 0]}


def test_among_equals_the_category_with_more_annotations_comes_first():
    assert chosen([[0.0, 0.0, 0.0]], [2, 9, 2], most=3)['worst'] == [1, 0, 2]


def test_changes_are_listed_by_size_and_sign():
    lists = chosen([[0.5, 0.5, 0.5, NAN], [0.6, 0.1, 0.9, 0.5]], [1, 1, 1, 1])
    assert lists['gain1'] == [2, 0]
    assert lists['loss1'] == [1]


def test_a_list_without_categories_is_left_out():
    assert 'loss1' not in chosen([[0.5], [0.6]], [1])
    assert chosen([[NAN]], [0]) == {}
