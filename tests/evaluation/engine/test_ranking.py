import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evaluation.engine.ranking import NOT_RANKED, rank, sort_descending
from tests.evaluation.engine.plain_records import ground_truth_of, results_of
from tests.evaluation.engine.random_sets import lvis_sets


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=False, allow_infinity=True),
            st.sampled_from([0.0, -0.0, 0.25, 0.5, -0.5]),
        ),
        max_size=60,
    )
)
def test_sorting_is_stable_and_falling(scores):
    scores = np.array(scores, np.float64)
    expected = np.argsort(-scores, kind='stable')
    order = sort_descending(scores, np.arange(len(scores), dtype=np.int32))
    np.testing.assert_array_equal(order, expected)


def test_sorting_many_scores_of_all_sizes_agrees_with_numpy():
    rng = np.random.default_rng(0)
    scores = rng.choice([-1, 1], 20_000) * 10.0 ** rng.uniform(-300, 300, 20_000)
    scores[::3] = np.float32(rng.random(len(scores[::3])))
    order = sort_descending(scores, np.arange(len(scores), dtype=np.int32))
    np.testing.assert_array_equal(order, np.argsort(-scores, kind='stable'))


def test_the_given_order_decides_among_equal_scores():
    order = sort_descending(np.array([0.5, 0.9, 0.5]), np.array([2, 0], np.int32))
    assert order.tolist() == [2, 0]


@settings(deadline=None)
@given(lvis_sets())
def test_places_are_those_of_sorted_lists(case):
    data, entries = case
    ground_truth = ground_truth_of(data)
    results = results_of(entries, ground_truth)
    ranking = rank(ground_truth, results)
    chosen = results.category != 1
    among = ranking.image_ranks_among(chosen)
    order = sorted(range(len(entries)), key=lambda i: -entries[i]['score'])
    for i in range(len(entries)):
        before = order[: order.index(i)]
        same_image = [j for j in before if results.image[j] == results.image[i]]
        assert ranking.image_rank[i] == len(same_image)
        expected = sum(chosen[j] for j in same_image) if chosen[i] else NOT_RANKED
        assert among[i] == expected
        if results.category[i] >= 0:
            same = [j for j in before if results.category[j] == results.category[i]]
            assert ranking.category_rank[i] == len(same)
    assert np.diff(ranking.image_offset).sum() == len(entries)


def test_no_results_can_be_ranked():
    data = {'images': [{'id': 1, 'height': 4, 'width': 4}], 'categories': [], 'annotations': []}
    ground_truth = ground_truth_of(data)
    ranking = rank(ground_truth, results_of([], ground_truth))
    assert len(ranking.by_image) == 0
    assert ranking.image_offset.tolist() == [0, 0]


@pytest.mark.parametrize('score', [0.0, 1.0])
def test_equal_scores_keep_the_order_of_the_file(score):
    order = sort_descending(np.full(5000, score), np.arange(5000, dtype=np.int32))
    np.testing.assert_array_equal(order, np.arange(5000))
