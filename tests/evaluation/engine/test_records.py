import numpy as np
import pycocotools.mask as mask_util
import pytest

from plugins.evaluation.engine import Results, ResultsError


def code(text=True):
    counts = mask_util.encode(np.ones((3, 4), np.uint8, order='F'))['counts']
    return {'size': [3, 4], 'counts': counts.decode() if text else counts}


def test_detections_in_memory_are_joined_in_order():
    results = Results.from_arrays(
        [2, 0],
        [np.array([1, 0]), np.array([5])],
        [np.array([0.5, 0.25], np.float32), np.array([1.0])],
        boxes=[np.array([[0, 0, 2, 3], [1, 1, 1, 1]]), np.array([[3, 3, 3, 3]])],
        masks=[[code(), code(text=False)], [code()]],
    )
    assert len(results) == 3
    assert results.image.tolist() == [2, 2, 0]
    assert results.category.tolist() == [1, 0, 5]
    assert results.score.tolist() == [0.5, 0.25, 1.0]
    assert results.box.shape == (3, 4)
    assert results.rle_height.tolist() == [3, 3, 3]
    assert results.rle_width.tolist() == [4, 4, 4]
    texts = [
        results.rle[offset : offset + length].tobytes()
        for offset, length in zip(results.rle_offset, results.rle_length, strict=True)
    ]
    assert texts == [code(text=False)['counts']] * 3


def test_images_without_detections_and_no_images_at_all_are_fine():
    results = Results.from_arrays([0], [[]], [[]], boxes=[np.zeros((0, 4))], masks=[[]])
    assert len(results) == 0
    assert results.box.shape == (0, 4)
    assert len(Results.from_arrays([], [], [])) == 0


@pytest.mark.parametrize('what', ['labels', 'boxes', 'masks'])
def test_different_lengths_are_an_error(what):
    columns = {'labels': [[0]], 'boxes': [[[0, 0, 1, 1]]], 'masks': [[code()]]}
    columns[what] = [[]]
    labels = columns.pop('labels')
    with pytest.raises(ResultsError, match=f'not as many {what}'):
        Results.from_arrays([0], labels, [[0.5]], **columns)


def test_a_missing_image_is_an_error():
    with pytest.raises(ResultsError, match='1 images but scores for 2'):
        Results.from_arrays([0], [[0], [0]], [[0.5], [0.5]])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_numbers_that_are_none_are_errors_that_name_the_result(value):
    with pytest.raises(ResultsError, match=r'results in memory: result 1 has score (nan|inf)'):
        Results.from_arrays([0], [[0, 0]], [[0.5, value]])
    with pytest.raises(ResultsError, match='result 0 has box'):
        Results.from_arrays([0], [[0]], [[0.5]], boxes=[[[0, value, 1, 1]]])


def test_plain_runs_are_refused():
    with pytest.raises(ResultsError, match='result 0 has a mask that is not compressed'):
        Results.from_arrays([0], [[0]], [[0.5]], masks=[[{'size': [3, 4], 'counts': [0, 12]}]])
