import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.annotations import (
    ImageCategories,
    category_repeat_factors,
    count_images,
    image_repeat_factors,
    rows_from_lists,
)

_ROWS = st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=12)


def _by_loop(lists: list[list[int]], threshold: float) -> list[float]:
    """The definition in the LVIS paper, literally."""
    factor = {}
    for category in {c for row in lists for c in row}:
        share = sum(category in row for row in lists) / len(lists)
        factor[category] = max(1.0, math.sqrt(threshold / share))
    return [max((factor[c] for c in row), default=1.0) for row in lists]


def _factors(rows: ImageCategories, num_categories: int, threshold: float, sqrt: bool = True):
    counts = count_images(rows, num_categories)
    return image_repeat_factors(
        rows, category_repeat_factors(counts, len(rows.pointer) - 1, threshold, sqrt)
    )


@given(_ROWS, st.floats(0, 2))
def test_factors_equal_the_definition(lists, threshold):
    np.testing.assert_allclose(
        _factors(rows_from_lists(lists), 8, threshold), _by_loop(lists, threshold), rtol=1e-15
    )


@given(_ROWS)
def test_duplicated_annotations_change_nothing(lists):
    doubled = [row * 2 for row in lists]
    np.testing.assert_array_equal(
        _factors(rows_from_lists(lists), 8, 0.5), _factors(rows_from_lists(doubled), 8, 0.5)
    )


@given(_ROWS)
def test_threshold_zero_samples_uniformly(lists):
    assert (_factors(rows_from_lists(lists), 8, 0.0) == 1).all()


def test_an_empty_image_does_not_take_its_neighbours_factor():
    factors = _factors(rows_from_lists([[], [0], [], [], [0, 1], []]), 2, 0.9)
    np.testing.assert_allclose(
        factors, [1, math.sqrt(0.9 * 3), 1, 1, math.sqrt(0.9 * 6), 1], rtol=1e-15
    )


def test_unusable_numbers_are_refused():
    for threshold in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match='threshold='):
            category_repeat_factors(np.array([1]), 10, threshold)
    with pytest.raises(ValueError, match='num_images=0'):
        category_repeat_factors(np.array([1]), 0)


@pytest.mark.parametrize('case', ['00', '02'])
def test_category_factors_equal_the_golden_numbers(shared, case):
    golden = np.load(shared / f'golden/longtail/rfs_category_factors_{case}.npz')
    factors = category_repeat_factors(
        golden['image_count'], int(golden['num_images']), float(golden['t'])
    )
    np.testing.assert_allclose(factors, golden['category_repeat_factor'], rtol=1e-14)


@pytest.mark.parametrize('case', ['00', '02', '04', '06'])
def test_image_factors_equal_detectron2_on_lvis_val(shared, case):
    golden = np.load(shared / f'golden/longtail/rfs_lvis_val100_{case}.npz')
    rows = ImageCategories(golden['ann_ptr'], golden['ann_category_id'])
    factors = _factors(rows, 1231, float(golden['t']), bool(golden['sqrt']))
    np.testing.assert_allclose(factors, golden['repeat_factors'], rtol=1e-6)


@pytest.mark.parametrize(
    ('threshold', 'total', 'ceil', 'floor', 'above', 'largest'),
    [
        (1e-3, 64858.19, 70820, 61152, 9668, 7.5326),
        (5e-4, 60280.21, 64185, 58548, 5637, 5.3263),
        (2e-3, 73141.76, 82072, 67352, 14720, 10.6527),
    ],
)
def test_factors_of_the_whole_lvis_training_set(
    shared, threshold, total, ceil, floor, above, largest
):
    golden = np.load(shared / 'lvis/lvis_v0_5_train_image_categories.npz')
    rows = ImageCategories(golden['ptr'], golden['category_id'].astype(np.int64) - 1)
    table = json.loads((shared / 'lvis/lvis_v0_5_category_counts.json').read_text())['categories']
    image_count = {row['id'] - 1: row['image_count'] for row in table}
    assert count_images(rows, 1230).tolist() == [image_count[c] for c in range(1230)]
    factors = _factors(rows, 1230, threshold)
    assert factors.sum() == pytest.approx(total, abs=0.006)
    assert np.ceil(factors).sum() == ceil
    assert np.floor(factors).sum() == floor
    assert (factors > 1).sum() == above
    assert factors.max() == pytest.approx(largest, abs=6e-5)
