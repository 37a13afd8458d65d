"""A sample's random numbers are its own: no process, worker or resumption changes them."""

import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from plugins.datasets import ClassDraw, RepeatFactorSampler, ResumableBatchSampler
from plugins.datasets.seeded_index import SeededDraws, SeededIndex, seeded


class _Noise(Dataset):
    """Sample ``i`` is its index with one number of each global stream."""

    def __len__(self):
        return 12

    def get_cat_ids(self, i):
        return [0] if i == 0 else [1]

    def __getitem__(self, i):
        with seeded(i):
            return int(i), np.random.rand(), random.random(), torch.rand(()).item()


class _Layout:
    """A sampler as rank ``rank`` of ``world_size`` would have it."""

    def __init__(self, rank=0, world_size=1, epoch=0, seed=7):
        self.sampler = RepeatFactorSampler(_Noise(), repeat_threshold=1, seed=seed)
        self.sampler.rank, self.sampler.world_size = rank, world_size
        self.sampler.num_samples = self.sampler.num_samples // world_size
        self.sampler.set_epoch(epoch)

    def samples(self, num_workers=0):
        batches = ResumableBatchSampler(self.sampler, batch_size=2)
        loader = DataLoader(
            _Noise(), batch_sampler=batches, num_workers=num_workers, collate_fn=list
        )
        return [sample for batch in loader for sample in batch]


@pytest.fixture(autouse=True)
def keep_global_streams():
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    yield
    np.random.set_state(states[0])
    random.setstate(states[1])
    torch.set_rng_state(states[2])


def test_a_seeded_index_is_an_int_that_survives_pickling():
    index = pickle.loads(pickle.dumps(SeededIndex(5, (1, 2, 3))))
    assert index == 5 and [10, 11, 12, 13, 14, 15][index] == 15
    assert index.seed == (1, 2, 3)
    assert not hasattr(index + 1, 'seed')


def test_workers_make_no_difference():
    alone = _Layout().samples()
    assert _Layout().samples(num_workers=2) == alone
    assert _Layout().samples(num_workers=3) == alone


@pytest.mark.parametrize('world_size', [2, 3])
def test_the_number_of_processes_makes_no_difference(world_size):
    alone = _Layout().samples()
    ranks = [_Layout(rank, world_size).samples() for rank in range(world_size)]
    together = [sample for step in zip(*ranks, strict=True) for sample in step]
    assert together == alone[: len(together)]
    assert len(together) > 10


def test_an_image_that_is_drawn_twice_looks_different():
    samples = _Layout().samples()
    drawn_twice = [sample for sample in samples if sample[0] == 0]
    assert len(drawn_twice) > 1
    assert len({sample[1:] for sample in drawn_twice}) == len(drawn_twice)


def test_epochs_and_seeds_differ():
    first = {sample[1:] for sample in _Layout().samples()}
    assert not first & {sample[1:] for sample in _Layout(epoch=1).samples()}
    assert not first & {sample[1:] for sample in _Layout(seed=8).samples()}


def test_skipped_batches_leave_the_rest_as_it_was():
    batches = ResumableBatchSampler(_Layout().sampler, batch_size=2)
    batches.skip_batches(2)
    rest = list(DataLoader(_Noise(), batch_sampler=batches, collate_fn=list))
    assert [sample for batch in rest for sample in batch] == _Layout().samples()[4:]


def test_the_global_streams_go_on_as_if_nothing_had_been_drawn():
    def three():
        return np.random.rand(), random.random(), torch.rand(()).item()

    np.random.seed(1), random.seed(1), torch.manual_seed(1)
    expected = three()
    np.random.seed(1), random.seed(1), torch.manual_seed(1)
    _Noise()[SeededIndex(3, (4, 5, 6))]
    assert three() == expected


def test_the_streams_of_other_devices_are_not_started_anew(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, 'manual_seed_all', seeds.append)
    with seeded(SeededIndex(3, (4, 5, 6))):
        torch.rand(())
    assert seeds == []


def test_the_streams_are_restored_after_an_error():
    np.random.seed(1)
    expected = np.random.rand()
    np.random.seed(1)
    with pytest.raises(KeyError), seeded(SeededIndex(0, (1,))):
        raise KeyError
    assert np.random.rand() == expected


def test_a_draw_for_a_category_carries_the_seed_in_its_index():
    class Draws:
        seed, epoch, rank, world_size = 3, 2, 1, 4

        def __iter__(self):
            return iter([ClassDraw(5, 9), ClassDraw(6, 9)])

    first, second = SeededDraws(Draws())
    assert (first, first.index.seed) == ((5, 9), (3, 2, 1))
    assert (second, second.index.seed) == ((6, 9), (3, 2, 5))
    with seeded(first):
        drawn = np.random.rand()
    with seeded(first.index):
        assert np.random.rand() == drawn


def test_an_endless_sampler_never_repeats_a_seed():
    draws = iter(SeededDraws(InfiniteSampler(_Noise(), seed=0)))
    assert len({next(draws).seed for _ in range(40)}) == 40


def test_a_sampler_without_a_seed_is_left_alone():
    assert all(type(i) is int for i in SeededDraws(SequentialSampler(_Noise())))
