from itertools import pairwise

import numpy as np
import pytest
import torch

from plugins.datasets import RepeatFactorSampler
from plugins.datasets.samplers.repeat_factor_sampler import dataset_repeat_factors, draw_repeats
from plugins.errors import UserError


def _sampler(dataset, seed=0, **kwargs):
    return RepeatFactorSampler(dataset, seed=seed, **kwargs)


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
def test_factors_and_ceil_equal_the_golden_ones(shared, make_labels, case):
    golden = np.load(shared / f'golden/longtail/rfs_lvis_val100_{case}.npz')
    offsets = golden['ann_ptr']
    images = [golden['ann_category_id'][a:b].tolist() for a, b in pairwise(offsets)]
    dataset = make_labels(images)
    sampler = _sampler(dataset, repeat_threshold=float(golden['t']), rounding='ceil')
    factors = dataset_repeat_factors(dataset, float(golden['t']))
    assert np.allclose(factors, golden['repeat_factors'], rtol=1e-6)
    assert sorted(sampler) == sorted(golden['mmengine_repeat_indices'].tolist())


@pytest.mark.parametrize(
    ('rounding', 'length', 'shares'),
    [('stochastic', 64858, (2.72, 9.92, 87.36)), ('ceil', 70820, (2.75, 11.49, 85.76))],
)
def test_lvis_epoch_has_the_published_length_and_shares_of_rare_categories(
    lvis_v05, rounding, length, shares
):
    dataset, groups = lvis_v05
    sampler = _sampler(dataset, rounding=rounding)
    assert len(sampler) == length
    seen = np.concatenate([groups[dataset.get_cat_ids(i)] for i in sampler])
    found = [100 * (seen == group).mean() for group in 'rcf']
    assert np.allclose(found, shares, atol=0.15)


def test_wrong_settings_name_their_key(labels):
    with pytest.raises(UserError, match='train_dataloader.sampler.rounding'):
        RepeatFactorSampler(labels, rounding='up')
    with pytest.raises(UserError, match='train_dataloader.sampler.repeat_threshold'):
        RepeatFactorSampler(labels, repeat_threshold=-1.0)


@pytest.mark.parametrize(('images', 'missing'), [([], 'images'), ([[], []], 'annotations')])
def test_data_set_without_annotations_is_an_error(make_labels, images, missing):
    message = f'train_dataloader.sampler: RepeatFactorSampler needs a data set with {missing}'
    with pytest.raises(UserError, match=message):
        RepeatFactorSampler(make_labels(images))
