import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plugins.evaluation.calibration import break_ties

VALUE = st.sampled_from([0.0, 1e-300, 0.1, np.nextafter(0.1, 1), 0.5, np.nextafter(1, 0), 1.0])
PAIR = st.tuples(VALUE, st.integers(-3, 3).map(lambda number: number / 4))


@given(st.lists(PAIR, max_size=30))
def test_order_is_that_of_calibrated_and_original_score(pairs):
    calibrated = np.array([pair[0] for pair in pairs])
    original = np.array([pair[1] for pair in pairs])
    scores = break_ties(calibrated, original)
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            assert (scores[i] < scores[j]) == (pairs[i] < pairs[j])


def test_a_million_ties_move_the_score_by_less_than_a_billionth():
    scores = break_ties(np.full(10**6, 0.75), np.arange(10.0**6))
    assert (np.diff(scores) > 0).all()
    assert scores[0] == 0.75
    assert scores[-1] - 0.75 < 1e-9


def test_zero_becomes_the_smallest_normal_number():
    scores = break_ties(np.zeros(3), np.array([0.3, 0.1, 0.2]))
    assert scores.argsort().tolist() == [1, 2, 0]
    assert 0 < scores.min() == np.finfo(float).tiny
    assert scores.max() < 1e-300


def test_equal_pairs_stay_equal():
    scores = break_ties(np.array([0.5, 0.5, 0.5]), np.array([0.2, 0.1, 0.2]))
    assert scores[0] == scores[2] > scores[1] == 0.5
