import numpy as np
import pytest

from plugins.evaluation.calibration import METHODS, fit_method, reliability, restore_method

CATEGORIES = (
    'plenty',
    'overconfident',
    'underconfident',
    'scarce',
    'one_tp',
    'all_tp',
    'coarse',
)
GOLDEN_NAMES = {'histogram': 'histogram20', 'bbq-aic': 'bbq_aic', 'bbq-bic': 'bbq_bic'}
TOLERANCE = {'histogram': 1e-12, 'isotonic': 1e-12}


def negative_log_likelihood(chance, matched):
    chance = np.where(matched, chance, 1 - chance)
    return -np.log(np.maximum(chance, 1e-300)).mean()


@pytest.mark.parametrize('category', CATEGORIES)
@pytest.mark.parametrize('method', METHODS)
def test_fits_agree_with_the_published_program(fits, method, category):
    case = fits[category]
    expected = case['methods'][GOLDEN_NAMES.get(method, method)]
    scores, matched = np.array(case['scores']), np.array(case['matched'], bool)
    model = fit_method(method, scores, matched)
    loss = negative_log_likelihood(model(scores), matched)
    assert loss <= expected['train_nll'] + 1e-4
    if category == 'all_tp' and method in ('platt', 'beta'):
        return  # the optimum lies at infinity: only the likelihood can be compared
    tolerance = TOLERANCE.get(method, 1e-3)
    np.testing.assert_allclose(
        model(np.array(case['grid'])), expected['grid_out'], rtol=0, atol=tolerance
    )
    assert reliability(model(scores), matched).error == pytest.approx(
        expected['train_ece20'], abs=tolerance
    )


@pytest.mark.parametrize('category', CATEGORIES)
def test_error_before_calibration_agrees(fits, category):
    case = fits[category]
    error = reliability(np.array(case['scores']), np.array(case['matched'])).error
    assert error == pytest.approx(case['ece20_before'], abs=1e-12)


@pytest.mark.parametrize('method', METHODS)
def test_parameters_restore_the_same_map(method, random_results):
    model = fit_method(method, *random_results)
    restored = restore_method(method, model.to_dict())
    scores = np.linspace(-0.5, 1.5, 301)
    np.testing.assert_array_equal(restored(scores), model(scores))
    assert model(scores).min() >= 0
    assert model(scores).max() <= 1


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('label', [False, True])
def test_a_single_result_is_enough(method, label):
    model = fit_method(method, np.array([0.6]), np.array([label]))
    value = model(np.array([0.6]))
    assert np.isfinite(value).all()
    assert (value[0] > 0.5) == label or method == 'temperature'


@pytest.mark.parametrize('method', [m for m in METHODS if m not in ('histogram', *METHODS[1:3])])
def test_monotone_methods_keep_the_order(method, random_results):
    model = fit_method(method, *random_results)
    assert (np.diff(model(np.linspace(0, 1, 1001))) >= 0).all()


@pytest.mark.parametrize('method', METHODS)
def test_scores_of_zero_and_one_and_beyond_are_fitted(method):
    scores = np.array([0.0, 0.0, 1.0, 1.0, 3.0, -1.0, 0.4, 0.6])
    model = fit_method(method, scores, np.array([0, 1, 1, 0, 1, 0, 0, 1], bool))
    assert np.isfinite(model(scores)).all()


@pytest.mark.parametrize(
    ('scores', 'matched', 'message'),
    [
        ([], [], 'without a single result'),
        ([0.5, np.nan], [True, False], 'score 1 to calibrate is NaN'),
        ([0.5, 0.6], [True], 'vectors alike'),
    ],
)
def test_unusable_observations_are_errors(scores, matched, message):
    with pytest.raises(ValueError, match=message):
        fit_method('platt', np.array(scores), np.array(matched))


def test_unknown_methods_and_lost_parameters_are_errors():
    with pytest.raises(ValueError, match="'plat' is unknown: choose one of histogram"):
        fit_method('plat', np.array([0.5]), np.array([True]))
    with pytest.raises(ValueError, match='parameters of isotonic are incomplete'):
        restore_method('isotonic', {'knots': [0.1]})
    with pytest.raises(ValueError, match='increase strictly'):
        restore_method('isotonic', {'knots': [0.2, 0.1], 'values': [0, 1]})
    with pytest.raises(ValueError, match='with 1 slopes'):
        restore_method('beta', {'form': 'beta', 'slopes': [1.0], 'bias': 0.0})
