"""Which objects a training pipeline really shows the model."""

import itertools
import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from mmdet.registry import DATA_SAMPLERS, DATASETS
from plugins.annotations import frequency_group
from plugins.datasets import LVISFormatDataset
from plugins.datasets.class_draw import categories_of, images_of_labels
from plugins.datasets.seeded_index import SeededDraws
from plugins.errors import UserError
from tools.data.pipeline_variants import VARIANTS, variant_loader

SAMPLES_PER_MESSAGE = 8


@dataclass(frozen=True)
class Counts:
    """What so many samples showed of each of K categories.

    Args:
        samples: how many there were.
        instances: int64 (K,), objects in them; ignored ones are not counted.
        images: int64 (K,), samples with at least one.
    """

    samples: int
    instances: np.ndarray
    images: np.ndarray


@dataclass(frozen=True)
class PipelineStatistics:
    """Counts of a training set, and of what the variants of its pipeline make of it.

    Args:
        names: of the K categories.
        groups: ``'r'``, ``'c'`` or ``'f'`` of each, by its images in the set.
        annotated: the set itself, every image once.
        epochs: how many were sampled.
        variants: what each variant showed, by its name.
    """

    names: tuple[str, ...]
    groups: list[str]
    annotated: Counts
    epochs: float
    variants: dict[str, Counts]


def pipeline_statistics(
    config: Config,
    variants: list[str],
    *,
    epochs: float,
    workers: int,
    seed: int,
    threshold: float | None,
    rare_max: int,
    common_max: int,
) -> PipelineStatistics:
    """Run the training pipeline in some variants and count what comes out.

    Args:
        config: Of an experiment.
        variants: Keys of ``VARIANTS``.
        epochs: How many to sample, larger than 0; 0.1 is a tenth of one.
        workers: Processes that run the pipeline; 0 runs it in this one.
        seed: Of samplers and transforms. The same one gives the same counts for any ``workers``.
        threshold: As in :func:`variant_loader`.
        rare_max: Most training images of a rare category.
        common_max: Most training images of a common category.

    Raises:
        UserError: An option is out of range, or the config cannot be sampled.
    """
    if epochs <= 0:
        raise UserError(f'--epochs {epochs:g} must be larger than 0')
    if workers < 0:
        raise UserError(f'--workers {workers} must not be negative')
    init_default_scope(config.get('default_scope', 'mmdet'))
    counts = {}
    for variant in variants:
        loader = variant_loader(config, variant, threshold)
        if counts and DATASETS.get(loader.dataset.type) is LVISFormatDataset:
            loader.dataset.verify_images = False  # the first has looked at all of them
        dataset = DATASETS.build(loader.dataset)
        draws = Draws(loader.sampler, dataset, epochs, seed)
        counts[variant] = count_samples(dataset, draws, workers, VARIANTS[variant])
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    annotated = count_annotations(dataset)
    groups = [frequency_group(int(n), rare_max, common_max) for n in annotated.images]
    return PipelineStatistics(tuple(dataset.metainfo['classes']), groups, annotated, epochs, counts)


class Draws(Sampler):
    """The draws of so many epochs of a sampler, each with its own random numbers.

    Args:
        config: Of the sampler.
        dataset: That it draws from.
        epochs: How many; the last may be a part of one.
        seed: Of the sampler.
    """

    def __init__(self, config: ConfigDict, dataset: Dataset, epochs: float, seed: int) -> None:
        self._sampler = DATA_SAMPLERS.build(config, default_args=dict(dataset=dataset, seed=seed))
        self._epochs = epochs

    def __iter__(self) -> Iterator[int]:
        for epoch in range(math.ceil(self._epochs)):
            if hasattr(self._sampler, 'set_epoch'):
                self._sampler.set_epoch(epoch)
            part = min(1.0, self._epochs - epoch)
            # An infinite sampler has a length, too.
            yield from itertools.islice(SeededDraws(self._sampler), self._length(part))

    def __len__(self) -> int:
        whole, part = divmod(self._epochs, 1)
        return int(whole) * len(self._sampler) + self._length(part)

    def _length(self, part: float) -> int:
        return math.ceil(part * len(self._sampler))


class Labels(Dataset):
    """The labels of the objects in each sample: all that has to leave a worker.

    Args:
        dataset: Its samples have ``data_samples`` with ``gt_instances.labels``.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, index: int) -> np.ndarray:
        """Labels of one sample, int64 (N,)."""
        return self._dataset[index]['data_samples'].gt_instances.labels.numpy()


def count_samples(dataset: Dataset, draws: Draws, workers: int, title: str) -> Counts:
    """Run the pipeline for every draw, behind a progress bar.

    Args:
        dataset: With its pipeline.
        draws: What to load.
        workers: As in :func:`pipeline_statistics`.
        title: Of the bar.
    """
    num_categories = len(dataset.metainfo['classes'])
    instances, images = np.zeros((2, num_categories), np.int64)
    loader = DataLoader(
        Labels(dataset),
        batch_size=SAMPLES_PER_MESSAGE,
        sampler=draws,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=_leave_interrupts_to_parent,
    )
    samples = 0
    with tqdm(total=len(draws), desc=title, unit='image') as bar:
        for labels in itertools.chain.from_iterable(loader):
            instances += np.bincount(labels, minlength=num_categories)
            images[np.unique(labels)] += 1
            samples += 1
            bar.update()
    return Counts(samples, instances, images)


def count_annotations(dataset: Dataset) -> Counts:
    """Count every image of the data set once, as annotated."""
    num_categories = len(dataset.metainfo['classes'])
    rows = categories_of(dataset)
    images = [len(found) for found in images_of_labels(dataset, num_categories)]
    instances = np.bincount(rows.category, minlength=num_categories)
    return Counts(len(rows.pointer) - 1, instances, np.array(images, np.int64))


def _leave_interrupts_to_parent(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
