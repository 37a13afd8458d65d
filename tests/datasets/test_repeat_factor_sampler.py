from itertools import pairwise

import numpy as np
import pytest
import torch

from plugins.datasets import RepeatFactorSampler
from plugins.datasets.samplers.repeat_factor_sampler import dataset_repeat_factors, draw_repeats
from plugins.errors import UserError


class _Labels:
    """A data set that knows only which labels each image has."""

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, i):
        return self.labels[i]


@pytest.fixture
def labels():
    """200 images: label 0 everywhere, label 1 in 20 of them, label 2 in two, one image empty."""
    images = [[0, 0] for _ in range(200)]
    for i in range(20):
        images[i] = [0, 1]
    images[3], images[150], images[199] = [2, 0], [0, 2, 2], []
    return _Labels(images)


def _sampler(dataset, rank=0, world_size=1, **kwargs):
    sampler = RepeatFactorSampler(dataset, seed=kwargs.pop('seed', 0), **kwargs)
    if world_size > 1:
        sampler.rank, sampler.world_size = rank, world_size
        sampler.num_samples = -(-round(sampler.repeat_factors.sum()) // world_size)
    return sampler


def test_factor_of_an_image_is_that_of_its_rarest_label(labels):
    factors = dataset_repeat_factors(labels, threshold=0.4)
    assert factors[150] == pytest.approx((0.4 / 0.01) ** 0.5)
    assert factors[0] == pytest.approx((0.4 / (19 / 200)) ** 0.5)
    assert factors[60] == 1 and factors[199] == 1


def test_threshold_zero_is_a_plain_permutation(labels):
    sampler = _sampler(labels, repeat_threshold=0)
    assert sorted(sampler) == list(range(200))


def test_image_is_seen_at_least_the_floor_and_at_most_the_ceiling(labels):
    sampler = _sampler(labels, repeat_threshold=0.4)
    repeats = draw_repeats(sampler.repeat_factors, torch.Generator().manual_seed(5))
    assert (repeats >= np.floor(sampler.repeat_factors)).all()
    assert (repeats <= np.ceil(sampler.repeat_factors)).all()


def test_mean_over_epochs_is_the_factor(labels):
    sampler = _sampler(labels, repeat_threshold=0.4)
    epochs = 600
    seen = sum(np.bincount(sampler.draw_epoch(e), minlength=200) for e in range(epochs))
    # Cutting to a constant length shifts a mean by less than 1 %; the rest is sampling noise.
    assert np.allclose(seen / epochs, sampler.repeat_factors, rtol=0.02, atol=4 * 0.5 / epochs**0.5)


def test_ceil_rounds_every_factor_up(labels):
    sampler = _sampler(labels, repeat_threshold=0.4, rounding='ceil')
    expected = np.ceil(dataset_repeat_factors(labels, 0.4))
    assert (np.bincount(list(sampler), minlength=200) == expected).all()


@pytest.mark.parametrize('world_size', [2, 3, 8])
def test_ranks_share_the_epoch_equally_and_without_overlap(labels, world_size):
    ranks = [_sampler(labels, r, world_size, repeat_threshold=0.4) for r in range(world_size)]
    parts = [list(rank) for rank in ranks]
    assert len({len(part) for part in parts}) == 1 == len({len(rank) for rank in ranks})
    together = [index for step in zip(*parts, strict=True) for index in step]
    assert together == ranks[0].draw_epoch(0).tolist()


def test_epoch_depends_on_seed_and_epoch_only(labels):
    first, second = _sampler(labels, repeat_threshold=0.4), _sampler(labels, repeat_threshold=0.4)
    second.set_epoch(3)
    _ = list(second)
    second.set_epoch(0)
    assert list(first) == list(second)
    first.set_epoch(1)
    assert list(first) != list(second)
    other_seed = _sampler(labels, repeat_threshold=0.4, seed=1)
    assert list(other_seed) != list(second)
    assert len(first) == len(list(first)) == len(other_seed)


@pytest.mark.parametrize('case', ['00', '02', '04', '06'])
def test_draws_equal_detectron2s_from_the_same_generator(shared, case):
    golden = np.load(shared / f'golden/longtail/rfs_lvis_val100_{case}.npz')
    generator = torch.Generator().manual_seed(int(golden['d2_epoch_indices_seed']))
    for epoch in range(3):
        repeats = draw_repeats(golden['repeat_factors'], generator)
        indices = np.repeat(np.arange(100), repeats)
        assert np.array_equal(indices, golden[f'd2_epoch{epoch}_indices'])


@pytest.mark.parametrize('case', ['00', '02', '04'])
def test_factors_and_ceil_equal_the_golden_ones(shared, case):
    golden = np.load(shared / f'golden/longtail/rfs_lvis_val100_{case}.npz')
    offsets = golden['ann_ptr']
    images = [golden['ann_category_id'][a:b].tolist() for a, b in pairwise(offsets)]
    sampler = _sampler(_Labels(images), repeat_threshold=float(golden['t']), rounding='ceil')
    factors = dataset_repeat_factors(_Labels(images), float(golden['t']))
    assert np.allclose(factors, golden['repeat_factors'], rtol=1e-6)
    assert sorted(sampler) == sorted(golden['mmengine_repeat_indices'].tolist())


def test_wrong_settings_name_their_key(labels):
    with pytest.raises(UserError, match='sampler.rounding'):
        RepeatFactorSampler(labels, rounding='up')
    with pytest.raises(UserError, match='sampler.repeat_threshold'):
        RepeatFactorSampler(labels, repeat_threshold=-1.0)
    with pytest.raises(UserError, match='no images'):
        RepeatFactorSampler(_Labels([]))
