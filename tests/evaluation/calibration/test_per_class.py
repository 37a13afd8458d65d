import numpy as np
import pytest

from plugins.evaluation.calibration import Observations, fit_method, fit_per_class


@pytest.fixture
def observations(random_results):
    scores, matched = random_results
    category = np.tile([3, 9, 3, 5], 100)
    return Observations(category, scores, matched & (category != 5))


def test_each_category_has_the_map_of_its_own_results(observations):
    calibration = fit_per_class('platt', observations)
    category, scores = np.array([9, 3, 9]), np.array([0.2, 0.2, 0.7])
    calibrated = calibration(category, scores, keep_order=False)
    for name in (3, 9):
        inside = observations.category == name
        model = fit_method('platt', observations.score[inside], observations.matched[inside])
        np.testing.assert_array_equal(calibrated[category == name], model(scores[category == name]))


@pytest.mark.parametrize(
    ('fallback', 'expected'), [('zero', [0.0, 0.0]), ('keep', [0.3, 0.6]), ('group', None)]
)
def test_categories_without_a_match_follow_the_fallback(observations, fallback, expected):
    group_of = {3: 'f', 9: 'f', 5: 'f', 77: ''}
    calibration = fit_per_class('isotonic', observations, fallback=fallback, group_of=group_of)
    scores = np.array([0.3, 0.6])
    if expected is None:
        # Misses of the category itself take part in its group's map.
        expected = fit_method('isotonic', observations.score, observations.matched)(scores)
    np.testing.assert_allclose(calibration([5, 5], scores, keep_order=False), expected)


def test_unknown_categories_get_zero_where_no_group_is_known(observations):
    calibration = fit_per_class('platt', observations, fallback='group', group_of={3: 'f'})
    assert calibration([77], np.array([0.9]), keep_order=False).tolist() == [0.0]


def test_order_inside_a_category_survives_ties(observations):
    calibration = fit_per_class('histogram', observations)
    category = np.repeat([3, 5], 500)
    scores = np.random.default_rng(1).random(1000)
    plain = calibration(category, scores, keep_order=False)
    kept = calibration(category, scores)
    np.testing.assert_array_equal(np.argsort(kept), np.lexsort((scores, plain)))
    np.testing.assert_allclose(kept, plain, atol=1e-12)


def test_no_results_are_calibrated_to_no_results(observations):
    calibration = fit_per_class('platt', observations)
    assert calibration(np.zeros(0, int), np.zeros(0)).shape == (0,)


def test_fallback_must_be_known_and_have_what_it_needs(observations):
    with pytest.raises(ValueError, match="'mean' is unknown: choose one of zero, keep, group"):
        fit_per_class('platt', observations, fallback='mean')
    with pytest.raises(ValueError, match='frequency groups'):
        fit_per_class('platt', observations, fallback='group')


def test_progress_counts_every_result(observations):
    done = []
    fit_per_class('temperature', observations, progress=done.append)
    assert sorted(done) == [100, 100, 200]
