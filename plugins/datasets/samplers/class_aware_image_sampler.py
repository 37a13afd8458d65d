"""Class-aware sampling: every category is seen equally often, however few images it has."""

from collections.abc import Iterator
from copy import copy

import numpy as np
from mmengine.dataset import BaseDataset

from mmdet.datasets import ClassAwareSampler
from mmdet.registry import DATA_SAMPLERS
from plugins.datasets.class_draw import images_of_labels
from plugins.errors import UserError


@DATA_SAMPLERS.register_module()
class ClassAwareImageSampler(ClassAwareSampler):
    """mmdet's ``ClassAwareSampler`` with the same epoch in every process layout.

    Class-aware sampling (Shen et al. 2016): choose a category uniformly among those with images,
    then an image of it. As in mmdet both choices go through shuffled cycles: every category comes
    once per round, and its images all come before one is repeated. An epoch has as many samples as
    the data set has images, so a category with a single image repeats it #images / #categories
    times per epoch, 46 times on LVIS v0.5: meant for a short second phase on a trained model.

    Stock hands each rank a contiguous part of the rounds; here rank ``r`` takes every
    ``world_size``-th sample from the ``r``-th on, so that a step sees the same samples whatever the
    number of processes.

    Args:
        dataset: As for ``RepeatFactorSampler``; gives the categories by ``metainfo['classes']``.
        num_sample_class: Images drawn in a row when a category's turn comes.
        seed: The same on all ranks; drawn and synchronised if None.
    """

    def __init__(
        self, dataset: BaseDataset, *, num_sample_class: int = 1, seed: int | None = None
    ) -> None:
        if num_sample_class < 1:
            raise UserError(
                'train_dataloader.sampler.num_sample_class must be at least 1, not '
                f'{num_sample_class}'
            )
        super().__init__(dataset, seed=seed, num_sample_class=num_sample_class)
        if self.num_classes == 0:
            raise UserError(
                'train_dataloader.sampler: ClassAwareImageSampler needs a data set with '
                'annotations, and this one has none; check its ann_file or use DefaultSampler'
            )

    def get_cat2imgs(self) -> dict[int, list[int]]:
        """List the images of every label, as stock does, without a call per image."""
        images = images_of_labels(self.dataset, len(self.dataset.metainfo['classes']))
        return {label: positions.tolist() for label, positions in enumerate(images)}

    def draw_epoch(self, epoch: int) -> np.ndarray:
        """Draw the images of one epoch, the same on every rank.

        Returns:
            Image indices, int64, shape (world_size * len(self),).
        """
        alone = copy(self)
        alone.epoch, alone.rank, alone.num_samples = epoch, 0, self.total_size
        return np.fromiter(ClassAwareSampler.__iter__(alone), np.int64, self.total_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw_epoch(self.epoch)[self.rank :: self.world_size].tolist())
