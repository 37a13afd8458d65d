import numpy as np
import pytest
from scipy.special import expit

from plugins.evaluation.calibration.logistic import fit_logistic


def sample(form, slopes, bias, number=60_000):
    generator = np.random.default_rng(3)
    s = generator.uniform(0.02, 0.98, number)
    logits = slopes[0] * np.log(s) - slopes[-1] * np.log(1 - s) + bias
    return s, generator.random(number) < expit(logits)


@pytest.mark.parametrize(
    ('form', 'slopes', 'bias'),
    [('platt', (0.7,), -1.2), ('beta', (1.4, 0.5), 0.3), ('temperature', (0.4,), 0.0)],
)
def test_parameters_are_recovered_from_their_own_samples(form, slopes, bias):
    model = fit_logistic(*sample(form, slopes, bias), form)
    np.testing.assert_allclose(model.slopes, slopes, atol=0.05)
    assert model.bias == pytest.approx(bias, abs=0.05)


@pytest.mark.parametrize('form', ['platt', 'beta', 'temperature'])
def test_no_step_in_any_direction_improves_the_likelihood(form, random_results):
    scores, matched = random_results

    def loss(slopes, bias):
        s = np.clip(scores, 1e-15, 1 - 1e-15)
        logits = slopes[0] * np.log(s) - slopes[-1] * np.log(1 - s) + bias
        return (np.logaddexp(0, logits) - matched * logits).mean()

    model = fit_logistic(scores, matched, form)
    best = loss(model.slopes, model.bias)
    for step in (1e-2, -1e-2):
        for axis in range(len(model.slopes)):
            moved = np.array(model.slopes)
            moved[axis] = max(moved[axis] + step, 0)
            assert loss(moved, model.bias) >= best - 1e-9
        if form != 'temperature':
            assert loss(model.slopes, model.bias + step) > best


def test_slopes_are_not_negative_where_high_scores_are_wrong():
    scores = np.linspace(0.05, 0.95, 100)
    model = fit_logistic(scores, scores < 0.3, 'beta')
    assert min(model.slopes) == 0
    model = fit_logistic(scores, scores < 0.3, 'platt')
    assert model.slopes == (0.0,)
    np.testing.assert_allclose(model(scores), np.mean(scores < 0.3), atol=1e-6)


def test_separable_labels_give_finite_parameters():
    model = fit_logistic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1], bool), 'beta')
    assert np.isfinite([*model.slopes, model.bias]).all()
    assert model(np.array([0.2]))[0] < 1e-3
    assert model(np.array([0.8]))[0] > 1 - 1e-3


def test_unknown_form_is_an_error():
    with pytest.raises(ValueError, match="'probit' is unknown: choose one of platt"):
        fit_logistic(np.array([0.5]), np.array([True]), 'probit')
