"""Batches in the order of the sampler, resumable in the middle of an epoch, samples seeded."""

from collections.abc import Iterator

from torch.utils.data import BatchSampler, Sampler

from mmdet.registry import DATA_SAMPLERS
from plugins.datasets.samplers.batch_skipping import BatchSkipping
from plugins.datasets.seeded_index import SeededDraws


@DATA_SAMPLERS.register_module()
class ResumableBatchSampler(BatchSkipping, BatchSampler):
    """torch's ``BatchSampler`` that ``ResumeDataHook`` can place inside an epoch.

    Every index is a ``SeededIndex``: what transforms draw at random for a sample depends on neither
    the worker nor the process layout.

    Args:
        sampler: Gives the samples of this rank.
        batch_size: Samples per batch, at least 1.
        drop_last: Leave out a last batch with fewer samples.
    """

    def __init__(self, sampler: Sampler, batch_size: int, drop_last: bool = False) -> None:
        super().__init__(sampler, batch_size, drop_last)

    def __iter__(self) -> Iterator[list]:
        draws = SeededDraws(self.sampler)
        return self._without_skipped(iter(BatchSampler(draws, self.batch_size, self.drop_last)))
