import math
from itertools import pairwise

import numpy as np
import pytest

from plugins.evaluation.calibration.bayesian_binning import candidate_bins, fit_bayesian_binning
from plugins.evaluation.calibration.histogram import fit_histogram


@pytest.mark.parametrize('criterion', ['aic', 'bic'])
def test_average_equals_a_loop_over_the_definition(criterion, random_results):
    scores, matched = random_results
    scores = scores + 0.001  # off every edge
    cost = {}
    for bins in candidate_bins(len(scores)):
        chance = fit_histogram(scores, matched, bins)(scores)
        likelihood = sum(
            math.log(min(max(p if hit else 1 - p, 2.3e-16), 1.0))
            for p, hit in zip(chance, matched, strict=True)
        )
        price = 2 if criterion == 'aic' else math.log(len(scores))
        cost[bins] = price * bins - 2 * likelihood
    best = min(cost.values())
    weight = {bins: math.exp((best - value) / 2) for bins, value in cost.items()}
    variance = np.var(list(weight.values()))
    ranked = sorted(weight, key=weight.get, reverse=True)
    kept = [ranked[0]]
    for before, after in pairwise(ranked):
        if (weight[before] - weight[after]) / variance <= 0.001:
            break
        kept.append(after)
    total = sum(weight[bins] for bins in kept)
    grid = np.linspace(0, 1, 97)
    expected = sum(weight[b] / total * fit_histogram(scores, matched, b)(grid) for b in kept)
    assert 1 < len(kept) < len(weight)
    model = fit_bayesian_binning(scores, matched, criterion)
    np.testing.assert_allclose(model(grid), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ('number', 'first', 'last'),
    [(1, 1, 1), (5, 1, 1), (25, 1, 5), (3000, 1, 145), (10**6, 10, 1000)],
)
def test_numbers_of_bins_grow_with_the_cube_root(number, first, last):
    bins = candidate_bins(number)
    assert (bins[0], bins[-1]) == (first, last)


def test_unknown_criterion_is_an_error():
    with pytest.raises(ValueError, match="'mdl' is unknown: choose aic or bic"):
        fit_bayesian_binning(np.array([0.5]), np.array([True]), 'mdl')
