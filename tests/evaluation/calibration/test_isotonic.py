import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.calibration.isotonic import fit_isotonic

OBSERVATION = st.tuples(st.integers(0, 20), st.booleans())


@settings(max_examples=80, deadline=None)
@given(st.lists(OBSERVATION, min_size=1, max_size=40))
def test_values_are_the_min_max_of_interval_means(observations):
    scores = np.array([0.02 + 0.04 * position for position, _ in observations])
    matched = np.array([label for _, label in observations])
    knots = np.unique(scores)
    sums = np.array([matched[scores == x].sum() for x in knots], float)
    total = np.array([(scores == x).sum() for x in knots], float)
    # The classical closed form of isotonic regression.
    size = len(knots)
    expected = [
        max(
            min(sums[low:high].sum() / total[low:high].sum() for high in range(i + 1, size + 1))
            for low in range(i + 1)
        )
        for i in range(size)
    ]
    np.testing.assert_allclose(fit_isotonic(scores, matched)(knots), expected, atol=1e-12)


def test_between_knots_the_map_is_linear_and_outside_constant():
    model = fit_isotonic(np.array([0.2, 0.2, 0.6]), np.array([False, True, True]))
    np.testing.assert_allclose(model(np.array([0.0, 0.2, 0.3, 0.6, 1.0])), [0.5, 0.5, 0.625, 1, 1])


def test_knots_inside_a_level_stretch_are_not_kept():
    model = fit_isotonic(np.linspace(0.1, 0.9, 50), np.arange(50) >= 25)
    assert len(model.knots) == 4
