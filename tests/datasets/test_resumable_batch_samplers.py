from itertools import islice

import pytest
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler

from mmdet.datasets import AspectRatioBatchSampler
from plugins.datasets import (
    ClassDrawSampler,
    RepeatFactorSampler,
    ResumableAspectRatioBatchSampler,
    ResumableBatchSampler,
)

KINDS = [
    (ResumableBatchSampler, BatchSampler),
    (ResumableAspectRatioBatchSampler, AspectRatioBatchSampler),
]


@pytest.mark.parametrize(('resumable', 'stock'), KINDS)
@pytest.mark.parametrize('sampler', [DefaultSampler, RepeatFactorSampler, ClassDrawSampler])
def test_after_skipping_comes_what_stock_yields_there(labels, resumable, stock, sampler):
    sampler = sampler(labels, seed=5)
    whole = list(stock(sampler, 8, False))
    batches = resumable(sampler, 8)
    assert list(batches) == whole and len(batches) == len(whole)
    for count in (1, 7, len(whole) - 1, len(whole)):
        batches.skip_batches(count)
        assert list(batches) == whole[count:]
        assert len(batches) == len(whole)
    assert list(batches) == whole


@pytest.mark.parametrize('resumable', [kind[0] for kind in KINDS])
def test_iteration_that_was_given_up_leaves_nothing_behind(labels, resumable):
    batches = resumable(DefaultSampler(labels, seed=1), 8)
    whole = list(batches)
    given_up = iter(batches)
    assert list(islice(given_up, 3)) == whole[:3]
    assert list(batches) == whole


@pytest.mark.parametrize('resumable', [kind[0] for kind in KINDS])
def test_iterator_that_is_never_used_does_not_take_the_place(labels, resumable):
    # A loader with workers makes two iterators per epoch.
    batches = resumable(DefaultSampler(labels, seed=1), 8)
    whole = list(batches)
    batches.skip_batches(4)
    iter(batches)
    assert list(batches) == whole[4:]


@pytest.mark.parametrize('resumable', [kind[0] for kind in KINDS])
@pytest.mark.parametrize('num_images', range(9, 25))
def test_length_is_right_with_and_without_the_last_batch(make_labels, resumable, num_images):
    sampler = DefaultSampler(make_labels([[0]] * num_images), seed=2)
    for drop_last in (False, True):
        batches = resumable(sampler, 4, drop_last=drop_last)
        found = list(batches)
        assert len(found) == len(batches) == (num_images + 3 * (not drop_last)) // 4
        assert all(len(batch) == 4 for batch in found[: num_images // 4])


def test_images_of_a_batch_have_one_orientation_until_the_last_ones(labels):
    batches = list(ResumableAspectRatioBatchSampler(DefaultSampler(labels, seed=3), 8))
    mixed = [i for i, batch in enumerate(batches) if len({image % 3 == 0 for image in batch}) == 2]
    assert all(i >= len(batches) - 2 for i in mixed)


def test_endless_sampler_stays_endless(labels):
    batches = iter(ResumableAspectRatioBatchSampler(InfiniteSampler(labels, seed=0), 8))
    assert len(list(islice(batches, 100))) == 100
