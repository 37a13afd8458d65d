"""The image level of SimCal's bi-level sampling: draw categories, then an image of each."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmdet.registry import DATA_SAMPLERS
from plugins.datasets.class_draw import ClassDraw
from plugins.errors import UserError


@DATA_SAMPLERS.register_module()
class ClassDrawSampler(Sampler):
    """Draw a category uniformly and one random image of it, and say which category it was.

    Image level of SimCal (Wang et al. 2020, section 4): every step sees ``n`` categories, drawn
    with replacement among those that have instances, with one image each, ``n`` being the batch
    of all processes together (16 in the paper). The draws are independent, unlike the cycles of
    ``ClassAwareImageSampler``, and each carries its label for the proposal level.

    All ranks draw the same list from (seed, epoch) and take every ``world_size``-th entry.

    Args:
        dataset: Lists the images of every label by ``images_of_labels()`` and takes a
            ``ClassDraw`` for an index, as ``LVISFormatDataset`` does.
        samples_per_epoch: Draws per epoch on all ranks together; 16000 are the paper's 1000 steps.
        seed: The same on all ranks; drawn and synchronised if None.
    """

    def __init__(
        self, dataset: BaseDataset, *, samples_per_epoch: int = 16000, seed: int | None = None
    ) -> None:
        if samples_per_epoch < 1:
            raise UserError(
                'train_dataloader.sampler.samples_per_epoch must be at least 1, not '
                f'{samples_per_epoch}'
            )
        if not hasattr(dataset, 'images_of_labels'):
            raise UserError(
                'train_dataloader.sampler: ClassDrawSampler needs a data set that takes draws of '
                f'(image, label); {type(dataset).__name__} does not, use LVISFormatDataset'
            )
        self.dataset = dataset  # read by mmdet's AspectRatioBatchSampler
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.samples_per_epoch = samples_per_epoch
        self.num_samples = math.ceil(samples_per_epoch / self.world_size)
        self.images = dataset.images_of_labels()
        self.num_images = np.array([len(images) for images in self.images], np.int64)
        if not self.num_images.any():
            raise UserError(
                'train_dataloader.sampler: ClassDrawSampler needs a data set with annotations, '
                'and this one has none; check its ann_file or use DefaultSampler'
            )

    def draw_epoch(self, epoch: int) -> list[ClassDraw]:
        """Draw the samples of one epoch, the same on every rank; length world_size * len(self)."""
        generator = torch.Generator().manual_seed(self.seed + epoch)
        labels, positions = draw_labels(self.num_images, self.samples_per_epoch, generator)
        draws = [
            ClassDraw(int(self.images[label][position]), label)
            for label, position in zip(labels.tolist(), positions.tolist(), strict=True)
        ]
        num_missing = self.num_samples * self.world_size - len(draws)
        # With fewer draws than ranks the list is repeated more than once.
        return draws + [draws[i % len(draws)] for i in range(num_missing)]

    def __iter__(self) -> Iterator[ClassDraw]:
        return iter(self.draw_epoch(self.epoch)[self.rank :: self.world_size])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch to draw; called by mmengine's ``DistSamplerSeedHook``."""
        self.epoch = epoch


def draw_labels(
    num_images: np.ndarray, num_draws: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels uniformly with replacement, and for each the position of one of its images.

    Args:
        num_images: Images of every label, int64, shape (K,); labels without images are never drawn.
        num_draws: N.
        generator: Source of the 2 N random numbers.

    Returns:
        Labels, int64, shape (N,), in [0, K), and positions, int64, shape (N,), where entry ``i`` is
        in [0, num_images[labels[i]]).
    """
    valid = np.flatnonzero(num_images)
    labels = valid[torch.randint(len(valid), (num_draws,), generator=generator).numpy()]
    # Integers of 62 bits: their remainders are uniform to 1 in 2**40 for any real data set.
    numbers = torch.randint(1 << 62, (num_draws,), generator=generator).numpy()
    return labels, numbers % num_images[labels]
