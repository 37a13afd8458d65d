import numpy as np
import pytest

from plugins.evaluation.engine import Curves, bin_precision, mean_precision, mean_recall


@pytest.fixture
def curves():
    rng = np.random.default_rng(3)
    precision, recall = rng.random((10, 101, 5, 4)), rng.random((10, 5, 4))
    precision[:, :, 2], recall[:, 2] = -1, -1
    precision[:, :, 4, 1], recall[:, 4, 1] = -1, -1
    return Curves(precision, recall)


def test_means_leave_out_undefined_categories_to_the_last_bit(curves):
    whole = curves.precision[:, :, :, 0]
    assert mean_precision(curves) == np.mean(whole[whole > -1])
    small = curves.precision[:, :, :, 1]
    assert mean_precision(curves, area=1) == np.mean(small[small > -1])
    level = curves.precision[5:6, :, :, 0]
    assert mean_precision(curves, level=5) == np.mean(level[level > -1])
    recall = curves.recall[:, :, 1]
    assert mean_recall(curves, area=1) == np.mean(recall[recall > -1])


def test_the_mean_of_nothing_is_undefined(curves):
    only = np.array([False, False, True, False, False])
    assert mean_precision(curves, categories=only) == -1


def test_a_category_on_the_limit_belongs_to_the_upper_bin():
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -1.0])
    counts = np.array([9, 10, 99, 100, 999, 5])
    bins = bin_precision(values, counts, (10, 100, 1000))
    assert bins == pytest.approx(
        {'AP1': 0.1, 'AP2': 0.25, 'AP3': 0.45, 'AP4': -1, 'bAP': (0.1 + 0.25 + 0.45) / 3}
    )
