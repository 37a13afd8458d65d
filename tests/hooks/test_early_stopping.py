import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.errors import UserError
from plugins.hooks.early_stopping import Plateau, is_undefined, mean_score


def _follow(scores, **options):
    plateau = Plateau(**{'min_delta': 5e-4, **options})
    return plateau, [plateau.add(score, at) for at, score in enumerate(scores, 1)]


def test_only_gains_above_the_threshold_are_improvements():
    plateau, better = _follow([0.1, 0.1005, 0.10051, 0.1007, 0.1], min_delta=5e-4)
    assert better == [True, False, True, False, False]
    assert (plateau.best, plateau.best_at, plateau.bad_count) == (0.10051, 3, 2)


def test_equal_score_is_no_improvement_even_without_a_threshold():
    plateau, better = _follow([0.2, 0.2, 0.2], min_delta=0)
    assert better == [True, False, False] and plateau.bad_count == 2


def test_small_gains_add_up_to_an_improvement():
    plateau, better = _follow([0.1, 0.1004, 0.1008], min_delta=5e-4)
    assert better == [True, False, True] and plateau.best_at == 3


def test_lower_is_better_by_the_other_rule():
    plateau, better = _follow([3.0, 2.0, 1.9, 2.5], rule='less', min_delta=0.5)
    assert better == [True, True, False, False] and plateau.best == 2.0


@pytest.mark.parametrize('score', [math.nan, -1.0, math.inf, -math.inf])
def test_undefined_scores_are_no_improvement(score):
    assert is_undefined(score)
    plateau, better = _follow([score, 0.1, score])
    assert better == [False, True, False]
    assert (plateau.best, plateau.best_at, plateau.bad_count) == (0.1, 2, 1)


@given(
    st.lists(st.one_of(st.floats(0, 1), st.sampled_from([-1.0, math.nan]))),
    st.integers(0, 30),
    st.floats(0, 0.2),
)
def test_resumed_series_is_the_whole_one_and_agrees_with_a_search(scores, cut, min_delta):
    whole, _ = _follow(scores, min_delta=min_delta)
    first, _ = _follow(scores[:cut], min_delta=min_delta)
    second = Plateau(min_delta)
    second.resume(json.loads(json.dumps(first.state())))
    for at, score in enumerate(scores[cut:], cut + 1):
        second.add(score, min(at, len(scores)))
    assert second.state() == whole.state()
    best = None
    for at, score in enumerate(scores, 1):
        if 0 <= score <= 1 and (best is None or score > best[0] + min_delta):
            best = (score, at)
    assert (whole.best, whole.best_at) == (best or (None, None))
    assert whole.bad_count == len(scores) - (best[1] if best else 0)


def test_mean_of_several_metrics():
    metrics = dict(r=0.1, c=0.2, f=0.6, x=-1.0, n=math.nan)
    assert mean_score(metrics, ['r', 'c', 'f']) == pytest.approx(0.3)
    assert mean_score(metrics, ['f']) == 0.6
    assert math.isnan(mean_score(metrics, ['r', 'x'])) and math.isnan(mean_score(metrics, ['n']))


def test_unknown_metric_is_an_error_that_lists_the_known_ones():
    with pytest.raises(UserError, match=r'monitor names ap, .* reports a, b$'):
        mean_score(dict(b=1, a=2), ['a', 'ap'])
    with pytest.raises(UserError, match='reports none at all'):
        mean_score({}, ['a'])
