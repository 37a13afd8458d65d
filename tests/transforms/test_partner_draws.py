"""Frequencies of the drawn partners against the formulas."""

import time

import numpy as np
import pytest

from plugins.annotations import ImageCategories, rows_from_lists
from plugins.transforms.partner_draws import _draw, partner_draws

# Category 3 never occurs, image 2 has no annotation, image 0 lists a category twice.
ROWS = rows_from_lists([[0, 0, 1], [0], [], [2, 0], [0], [0, 1]])


def expected_factors(threshold: float) -> np.ndarray:
    shares = np.array([5, 2, 1]) / 6
    return np.append(np.maximum(1, np.sqrt(threshold / shares)), 1)


def frequencies(draw, size: int, times: int = 4000) -> np.ndarray:
    np.random.seed(0)
    return np.bincount([draw() for _ in range(times)], minlength=size) / times


def test_images_are_drawn_by_repeat_factor():
    draws = partner_draws(ROWS, 4, 0.8)
    r = expected_factors(0.8)
    factors = np.array([r[1], 1, 1, r[2], 1, r[1]])
    found = frequencies(draws.draw_image, 6)
    assert np.abs(found - factors / factors.sum()).max() < 0.03


def test_tail_categories_are_drawn_by_their_excess():
    draws = partner_draws(ROWS, 4, 0.8)
    excess = expected_factors(0.8) - 1
    assert draws.has_tail
    found = frequencies(draws.draw_category, 4)
    assert np.abs(found - excess / excess.sum()).max() < 0.03
    assert found[0] == found[3] == 0


def test_images_of_a_category_are_drawn_uniformly_without_the_others():
    draws = partner_draws(ROWS, 4, 0.8)
    found = frequencies(lambda: draws.draw_image_of(0), 6)
    assert found[2] == 0
    assert np.abs(found[[0, 1, 3, 4, 5]] - 0.2).max() < 0.03
    assert frequencies(lambda: draws.draw_image_of(2), 6, 20)[3] == 1


def test_threshold_zero_draws_uniformly_and_has_no_tail():
    draws = partner_draws(ROWS, 4, 0.0)
    assert not draws.has_tail
    assert np.abs(frequencies(draws.draw_image, 6) - 1 / 6).max() < 0.03
    assert np.abs(frequencies(draws.draw_uniform_image, 6) - 1 / 6).max() < 0.03


@pytest.mark.parametrize('num_categories', [0, 3])
def test_data_without_annotations_has_no_tail(num_categories):
    draws = partner_draws(rows_from_lists([[], []]), num_categories, 1e-3)
    assert not draws.has_tail
    assert draws.draw_image() in (0, 1)


def test_rounding_never_draws_what_has_no_weight(monkeypatch):
    monkeypatch.setattr(np.random, 'random', lambda: 1.0)
    assert _draw(np.array([0.5, 0.8, 0.8])) == 1
    monkeypatch.setattr(np.random, 'random', lambda: 0.0)
    assert _draw(np.array([0.0, 0.0, 0.8])) == 2


def test_one_million_annotations_are_prepared_quickly():
    generator = np.random.default_rng(0)
    lengths = generator.poisson(12.7, 100_000)
    pointer = np.concatenate([[0], np.cumsum(lengths)])
    category = np.minimum(generator.pareto(0.5, pointer[-1]).astype(np.int64), 1202)
    start = time.process_time()
    partner_draws(ImageCategories(pointer, category), 1203, 1e-3)
    assert time.process_time() - start < 0.6  # about 0.1 s on an idle core
