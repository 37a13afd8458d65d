import numpy as np
import pytest

from plugins.evaluation.calibration import category_errors, reliability


def test_bins_hold_mean_score_and_share_of_matches():
    scores = np.array([0.05, 0.15, 0.2, 0.9, 1.0])
    diagram = reliability(scores, np.array([0, 1, 1, 1, 0], bool), bins=5)
    assert diagram.count.tolist() == [2, 1, 0, 0, 2]
    np.testing.assert_allclose(diagram.score, [0.1, 0.2, np.nan, np.nan, 0.95])
    np.testing.assert_allclose(diagram.matched, [0.5, 1.0, np.nan, np.nan, 0.5])
    assert diagram.error == pytest.approx((2 * 0.4 + 1 * 0.8 + 2 * 0.45) / 5)


def test_calibrated_scores_have_a_small_error_and_others_a_large_one():
    generator = np.random.default_rng(0)
    scores = generator.random(100_000)
    matched = generator.random(100_000) < scores
    assert reliability(scores, matched).error < 0.01
    assert reliability(np.sqrt(scores), matched).error == pytest.approx(2 / 3 - 0.5, abs=0.01)


def test_without_results_the_error_is_undefined():
    diagram = reliability(np.zeros(0), np.zeros(0, bool))
    assert np.isnan(diagram.error)
    assert diagram.count.sum() == 0
    assert category_errors(np.zeros(0, int), np.zeros(0), np.zeros(0, bool)) == {}


def test_errors_are_those_of_each_category_alone(random_results):
    scores, matched = random_results
    category = np.tile([30, 7, 30, 11], 100)
    errors = category_errors(category, scores, matched)
    assert list(errors) == [7, 11, 30]
    inside = category == 30
    assert errors[30] == reliability(scores[inside], matched[inside]).error
