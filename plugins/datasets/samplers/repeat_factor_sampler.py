"""Repeat-factor sampling: images of rare categories are seen more often."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmdet.registry import DATA_SAMPLERS
from plugins.annotations import category_repeat_factors, count_images, image_repeat_factors
from plugins.datasets.class_draw import categories_of
from plugins.errors import UserError


@DATA_SAMPLERS.register_module()
class RepeatFactorSampler(Sampler):
    """Sample every image ``r`` times per epoch on average, ``r`` by its rarest category.

    Repeat factors of LVIS (Gupta et al. 2019, section 4): a category that occurs in the fraction
    ``f`` of the images has ``r = max(1, sqrt(threshold / f))``, an image the largest ``r`` of its
    categories. The fraction of ``r`` is drawn anew in each epoch, as in detectron2; rounding
    it up instead (mmengine's ``ClassBalancedDataset``) lengthens an epoch of LVIS v0.5 by 9 %.

    Every epoch has the same length, because mmengine fixes the schedule from the length of the
    loader: the drawn list is shuffled, then cut or continued from its start. All ranks draw the
    same list from (seed, epoch) and take every ``world_size``-th entry.

    Args:
        dataset: Has ``image_categories()``, or gives the labels of image ``i`` by
            ``get_cat_ids(i)``.
        repeat_threshold: Categories in a smaller fraction of the images are repeated; 0 repeats
            nothing.
        rounding: ``'stochastic'`` draws the fraction of a factor, ``'ceil'`` rounds it up.
        seed: The same on all ranks; drawn and synchronised if None.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        *,
        repeat_threshold: float = 1e-3,
        rounding: str = 'stochastic',
        seed: int | None = None,
    ) -> None:
        if rounding not in ('stochastic', 'ceil'):
            raise UserError(
                "train_dataloader.sampler.rounding must be 'stochastic' or 'ceil', not "
                f'{rounding!r}'
            )
        if repeat_threshold < 0:
            raise UserError(
                'train_dataloader.sampler.repeat_threshold must not be negative: '
                f'{repeat_threshold}'
            )
        self.dataset = dataset  # read by mmdet's AspectRatioBatchSampler
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        factors = dataset_repeat_factors(dataset, repeat_threshold)
        self.repeat_factors = np.ceil(factors) if rounding == 'ceil' else factors
        total = round(float(self.repeat_factors.sum()))
        self.num_samples = math.ceil(total / self.world_size)

    def draw_epoch(self, epoch: int) -> np.ndarray:
        """Draw the images of one epoch, the same on every rank.

        Returns:
            Image indices, int64, shape (world_size * len(self),).
        """
        generator = torch.Generator().manual_seed(self.seed + epoch)
        repeats = draw_repeats(self.repeat_factors, generator)
        order = torch.randperm(int(repeats.sum()), generator=generator).numpy()
        indices = np.repeat(np.arange(len(repeats)), repeats)[order]
        # np.resize continues from the start of the list where it is too short.
        return np.resize(indices, self.num_samples * self.world_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.draw_epoch(self.epoch)[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to draw; called by mmengine's ``DistSamplerSeedHook``."""
        self.epoch = epoch


def draw_repeats(factors: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Round repeat factors up or down at random, so that their mean is kept.

    Args:
        factors: Repeat factors, float, shape (N,), at least 1.
        generator: Source of the N random numbers.

    Returns:
        How often each image is seen in this epoch, int64, shape (N,).
    """
    whole = np.floor(factors)
    extra = torch.rand(len(factors), generator=generator).numpy() < factors - whole
    return (whole + extra).astype(np.int64)


def dataset_repeat_factors(dataset: BaseDataset, threshold: float) -> np.ndarray:
    """Return the repeat factor of every image of a data set, float64, shape (len(dataset),).

    Raises:
        UserError: The data set has no images or no annotations.
    """
    rows = categories_of(dataset)
    if len(rows.category) == 0:
        missing = 'annotations' if len(dataset) else 'images'
        raise UserError(
            f'train_dataloader.sampler: RepeatFactorSampler needs a data set with {missing}, and '
            'this one has none; check its ann_file or use DefaultSampler'
        )
    image_count = count_images(rows, int(rows.category.max()) + 1)
    return image_repeat_factors(rows, category_repeat_factors(image_count, len(dataset), threshold))
