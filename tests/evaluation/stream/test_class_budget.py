import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.errors import UserError
from plugins.evaluation.stream import ClassBudget


def _detections(seed, images=30, per_image=9, num_classes=3, levels=5):
    """Per image scores and labels; scores take few values, so ties are the rule."""
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(0, levels, per_image) / levels, rng.integers(0, num_classes, per_image))
        for _ in range(images)
    ]


def _best_at_the_end(detections, k, num_classes=3):
    """Sort everything, keep the first k of every class: what the budget must find on its way."""
    rows = [
        (label, -score, image, place)
        for image, (scores, labels) in enumerate(detections)
        for place, (score, label) in enumerate(zip(scores, labels, strict=True))
    ]
    kept = set()
    for label in range(num_classes):
        best = sorted(row for row in rows if row[0] == label)[:k]
        kept |= {(image, place) for _, _, image, place in best}
    return kept


def _held(budget, detections):
    return {
        (image, int(place))
        for image, (scores, labels) in enumerate(detections)
        for place in np.flatnonzero(budget.holds(scores, labels, image))
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 120), st.randoms(use_true_random=False))
def test_the_best_are_found_in_any_order_of_images(seed, k, random):
    detections = _detections(seed)
    order = list(range(len(detections)))
    random.shuffle(order)
    budget = ClassBudget(k, 3)
    for image in order:
        budget.offer(*detections[image], image)
    expected = _best_at_the_end(detections, k)
    assert _held(budget, detections) == expected and len(budget) == len(expected)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 4))
def test_the_best_of_several_processes_hold_the_best_of_all(seed, k, processes):
    detections = _detections(seed)
    survivors = []
    for rank in range(processes):
        budget, mine = ClassBudget(k, 3), range(rank, len(detections), processes)
        admitted = {image: budget.offer(*detections[image], image) for image in mine}
        for image in mine:
            held = budget.holds(*detections[image], image)
            assert not (held & ~admitted[image]).any(), 'the bar never falls'
            survivors.append((image, held))
    last = ClassBudget(k, 3)
    for image, held in survivors:
        scores, labels = detections[image]
        last.offer(scores[held], labels[held], image)
    found = {
        (image, int(np.flatnonzero(held)[place]))
        for image, held in survivors
        for place in np.flatnonzero(
            last.holds(detections[image][0][held], detections[image][1][held], image)
        )
    }
    assert found == _best_at_the_end(detections, k)


def test_classes_that_were_not_expected_are_counted():
    budget = ClassBudget(1)
    budget.offer(np.array([0.5]), np.array([0]), 1)
    budget.offer(np.array([0.7, 0.9]), np.array([7, 7]), 2)
    assert budget.holds(np.array([0.7, 0.9]), np.array([7, 7]), 2).tolist() == [False, True]
    assert budget.holds(np.array([0.5]), np.array([0]), 1).tolist() == [True] and len(budget) == 2


def test_no_detection_and_wrong_classes():
    budget = ClassBudget(3, 2)
    assert budget.offer(np.zeros(0), np.zeros(0, int), 1).shape == (0,)
    with pytest.raises(ValueError, match='cannot be -1'):
        budget.offer(np.array([0.5]), np.array([-1]), 1)


def test_a_budget_beyond_all_memory_names_its_key():
    with pytest.raises(UserError, match=r'evaluator\.dets_per_class=\d+ needs more memory'):
        ClassBudget(10**18, 1203)
