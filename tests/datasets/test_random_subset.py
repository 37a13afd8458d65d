from itertools import pairwise

import numpy as np
import pytest

from plugins.datasets.random_subset import random_subset


def test_smaller_subset_is_part_of_every_larger_one():
    subsets = [set(random_subset(500, size, seed=4).tolist()) for size in (1, 10, 100, 499, 500)]
    assert [len(subset) for subset in subsets] == [1, 10, 100, 499, 500]
    assert all(small < large for small, large in pairwise(subsets))


def test_subset_depends_on_the_seed_and_nothing_else():
    np.random.seed(0)
    first = random_subset(500, 50, seed=4)
    np.random.seed(1)
    assert np.array_equal(first, random_subset(500, 50, seed=4))
    assert not np.array_equal(first, random_subset(500, 50, seed=5))


def test_choice_of_one_seed_stays_the_same_for_good():
    # RandomState's stream is frozen; a curve over sizes can be continued years later.
    assert random_subset(1000, 6, seed=0).tolist() == [298, 553, 672, 859, 971, 993]


def test_every_image_is_as_likely_as_any_other():
    seen = sum(np.bincount(random_subset(20, 5, seed), minlength=20) for seed in range(2000))
    # 500 expected each; four standard deviations of a binomial are 77.
    assert seen.sum() == 10000 and np.abs(seen - 500).max() < 80


@pytest.mark.parametrize('size', [0, 7])
def test_positions_ascend(size):
    chosen = random_subset(7, size, seed=1)
    assert chosen.shape == (size,) and (np.diff(chosen) > 0).all()
