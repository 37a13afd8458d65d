"""A whole test with our heads and with stock's, small enough for a test of it."""

from dataclasses import replace

import numpy as np
import pytest

from tools.benchmarks.taught_weights import make_weights
from tools.benchmarks.whole_test import (
    TestRun,
    differences,
    growth_mb,
    make_test_set,
    nano_model,
    run_test,
    stock_model,
)

CATEGORIES = 40


@pytest.fixture(scope='module')
def test_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole test')
    return make_test_set(folder, categories=CATEGORIES, images=2, size=(192, 160))


@pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn'])
def test_both_sides_find_the_same_and_objects_among_it(name, test_set, tmp_path):
    model = nano_model(name, CATEGORIES, 60)
    weights = make_weights(model, test_set, tmp_path / 'weights.pth')
    ours = run_test(model, test_set, weights)
    stock = run_test(stock_model(model), test_set, weights)
    allowed = dict(ap_tolerance=1e-3, share_tolerance=0.0)
    assert differences(ours, stock, **allowed) == []
    assert [len(rows) for rows in ours.detections] == [60, 60]
    assert ours.metrics['lvis/bbox_AP_old@60'] > 0
    assert len({label for rows in ours.detections for label in rows[:, 0]}) > 5
    assert len(ours.resident) in (0, 2)
    moved = [rows + np.eye(6)[4] * (np.arange(60) < 3)[:, None] for rows in stock.detections]
    (problem,) = differences(ours, replace(stock, detections=moved), **allowed)
    assert problem.startswith('6 of 120 detections')
    allowed['share_tolerance'] = 0.05
    assert differences(ours, replace(stock, detections=moved), **allowed) == []
    worse = {key: value - 0.01 for key, value in stock.metrics.items()}
    assert len(differences(ours, replace(stock, metrics=worse), **allowed)) == len(worse)


def test_memory_that_is_taken_at_first_or_for_a_moment_is_no_growth():
    run = TestRun({}, [np.zeros((0, 6))], [100, 900, 200, 300, 210, 900, 205])
    assert growth_mb(run, after=4) == 5
    assert growth_mb(run, after=3) == 105
    assert growth_mb(run, after=5) == 0
    assert growth_mb(replace(run, resident=[]), after=3) == 0
