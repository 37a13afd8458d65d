"""Batches of images that are all portrait or all landscape, resumable in the middle of an epoch."""

from collections.abc import Iterator

from mmdet.datasets import AspectRatioBatchSampler
from mmdet.registry import DATA_SAMPLERS
from plugins.datasets.samplers.batch_skipping import BatchSkipping
from plugins.datasets.seeded_index import SeededDraws


@DATA_SAMPLERS.register_module()
class ResumableAspectRatioBatchSampler(BatchSkipping, AspectRatioBatchSampler):
    """mmdet's ``AspectRatioBatchSampler`` that ``ResumeDataHook`` can place inside an epoch.

    Every index is a ``SeededIndex``, as with ``ResumableBatchSampler``. It also yields as many
    batches as its length says: with ``drop_last`` stock leaves out a full last batch if it is made
    of what both groups have left.

    Args:
        sampler: Gives the samples of this rank; its ``dataset`` gives the width and height of
            sample ``i`` by ``get_data_info(i)``.
        batch_size: Samples per batch, at least 1.
        drop_last: Leave out a last batch with fewer samples.
    """

    def __iter__(self) -> Iterator[list]:
        # Stock would begin with what an iteration that was given up left in its groups.
        grouping = AspectRatioBatchSampler(SeededDraws(self.sampler), self.batch_size)
        stop = len(self) if self.drop_last else None
        return self._without_skipped(iter(grouping), stop)
