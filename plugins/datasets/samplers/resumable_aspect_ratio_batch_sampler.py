"""Batches of images that are all portrait or all landscape, resumable in the middle of an epoch."""

from collections.abc import Iterator

import numpy as np

from mmdet.datasets import AspectRatioBatchSampler
from mmdet.registry import DATA_SAMPLERS
from plugins.datasets.class_draw import ClassDraw
from plugins.datasets.samplers.batch_skipping import BatchSkipping
from plugins.datasets.seeded_index import SeededDraws


@DATA_SAMPLERS.register_module()
class ResumableAspectRatioBatchSampler(BatchSkipping, AspectRatioBatchSampler):
    """mmdet's ``AspectRatioBatchSampler`` that ``ResumeDataHook`` can place inside an epoch.

    Every index is a ``SeededIndex``, as with ``ResumableBatchSampler``. It also yields as many
    batches as its length says: with ``drop_last`` stock leaves out a full last batch if it is made
    of what both groups have left.

    Args:
        sampler: Gives the samples of this rank; its ``dataset`` gives the widths and heights of all
            images by ``image_sizes()``, or those of sample ``i`` by ``get_data_info(i)``.
        batch_size: Samples per batch, at least 1.
        drop_last: Leave out a last batch with fewer samples.
    """

    def __iter__(self) -> Iterator[list]:
        # Stock would begin with what an iteration that was given up left in its groups.
        draws = SeededDraws(self.sampler)
        if hasattr(draws.dataset, 'image_sizes'):
            draws.dataset = _Sizes(*draws.dataset.image_sizes())
        grouping = AspectRatioBatchSampler(draws, self.batch_size)
        stop = len(self) if self.drop_last else None
        return self._without_skipped(iter(grouping), stop)


class _Sizes:
    """What stock asks a data set for, without making a record with all its polygons."""

    def __init__(self, widths: np.ndarray, heights: np.ndarray) -> None:
        self.widths, self.heights = widths, heights

    def get_data_info(self, draw: int | ClassDraw) -> dict:
        index = draw.index if isinstance(draw, ClassDraw) else draw
        return dict(width=self.widths[index], height=self.heights[index])
