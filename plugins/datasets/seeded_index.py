"""Random numbers that belong to a sample, not to the process that happens to load it."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import Sampler

from plugins.datasets.class_draw import ClassDraw


class SeededIndex(int):
    """An index of a data set that carries the seed of the sample's random numbers.

    It is an int everywhere else. What ``ConcatDataset`` and ``RepeatDataset`` make of it, a
    difference or a remainder, keeps the seed. Other arithmetic and look-ups, as in
    ``ClassBalancedDataset``, give a plain int: the transforms then draw from the worker's own
    stream, as mmengine seeds it.

    Args:
        index: Position of the image in the data set.
        seed: Whole numbers, each in [0, 2**32), that no other sample has all of.
    """

    def __new__(cls, index: int, seed: tuple[int, ...]) -> 'SeededIndex':
        """Make the index; ints are immutable, so this happens here."""
        self = super().__new__(cls, index)
        self.seed = tuple(seed)
        return self

    def __sub__(self, other: int) -> 'SeededIndex':
        return self._keeping_seed(super().__sub__(other))

    def __mod__(self, other: int) -> 'SeededIndex':
        return self._keeping_seed(super().__mod__(other))

    def _keeping_seed(self, index: int) -> 'SeededIndex':
        return index if index is NotImplemented else SeededIndex(index, self.seed)

    def __getnewargs__(self) -> tuple[int, tuple[int, ...]]:
        """What pickle makes the same index of."""
        return int(self), self.seed


class SeededDraws(Sampler):
    """The draws of a sampler, each with a seed of its own: (seed, epoch, position in the epoch).

    The position counts the draws of all ranks, rank ``r`` having every ``world_size``-th from the
    ``r``-th on, as the samplers of mmengine and of this repository do. So a sample looks the same
    in every worker and every process layout, an image that is drawn twice looks different, and a
    resumed run sees what it would have seen.

    Args:
        sampler: Yields indices or ``ClassDraw``; one without ``seed`` is passed on as it is.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self.dataset = getattr(sampler, 'dataset', None)  # read by mmdet's AspectRatioBatchSampler

    def __iter__(self) -> Iterator[int | ClassDraw]:
        seed = getattr(self.sampler, 'seed', None)
        if seed is None:
            yield from self.sampler
            return
        epoch = getattr(self.sampler, 'epoch', 0)
        position = getattr(self.sampler, 'rank', 0)
        for draw in self.sampler:
            yield _with_seed(draw, (seed, epoch, position))
            position += getattr(self.sampler, 'world_size', 1)

    def __len__(self) -> int:
        return len(self.sampler)


def _with_seed(draw: int | ClassDraw, seed: tuple[int, ...]) -> int | ClassDraw:
    if isinstance(draw, ClassDraw):
        return draw._replace(index=SeededIndex(draw.index, seed))
    return SeededIndex(draw, seed)


@contextmanager
def seeded(draw: int | ClassDraw) -> Iterator[None]:
    """Let ``numpy.random``, ``random`` and torch draw what belongs to a sample.

    Afterwards they go on as if nothing had been drawn.

    Args:
        draw: What the sampler yielded; without a seed nothing is changed.
    """
    seed = getattr(draw.index if isinstance(draw, ClassDraw) else draw, 'seed', None)
    if seed is None:
        yield
        return
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        np.random.seed(seed)
        random.seed(repr(seed))
        # Not torch.manual_seed: it would start the streams of all devices anew, too, for good.
        torch.default_generator.manual_seed(np.random.randint(2**31))
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
