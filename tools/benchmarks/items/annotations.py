"""Annotations of a quarter of LVIS train at the start of a run, and the repeat factors from them.

The annotation file is generated once, see ``tools/benchmarks/annotation_files.py``.
"""

import shutil
import tempfile
from pathlib import Path

from tools.benchmarks.evaluators import DATA
from tools.benchmarks.item import Benchmark

IMAGES = 25_042
FILTER = {'filter_empty_gt': True, 'min_size': 32}
THRESHOLD = 1e-3
KEYS = ('img_id', 'img_path', 'height', 'width', 'instances')


def make_file() -> dict:
    """Settings of a data set of the generated file; imports what both sides need."""
    import plugins  # noqa: F401
    from plugins.annotations.cache import building  # noqa: F401
    from tools.benchmarks.annotation_files import write_annotation_file

    path = write_annotation_file(DATA, IMAGES)
    return dict(ann_file=str(path), data_prefix=dict(img='train'), filter_cfg=FILTER)


def make_cached_file() -> dict:
    """The same, with its cache in place."""
    settings = make_file()
    load_ours(settings)
    return settings


def load_ours(settings: dict, **options: object) -> list:
    """Our data set, without a look at the images, which stock does not take either.

    It is in a list, so that the check can take it out: what the first run holds would hide a part
    of what the next one needs.
    """
    from plugins.datasets import LVISFormatDataset

    return [LVISFormatDataset(verify_images=False, **settings, **options)]


def load_stock(settings: dict) -> list:
    """mmdet's data set with the categories of the file, in a list likewise."""
    from mmdet.datasets import LVISV1Dataset
    from tools.benchmarks.annotation_files import category_names

    return [LVISV1Dataset(metainfo=dict(classes=category_names()), **settings)]


def build_ours(settings: dict) -> list:
    """Our data set where there is no cache yet; it is deleted again once it is mapped."""
    folder = Path(tempfile.mkdtemp(dir=DATA))
    try:
        return load_ours(settings, cache_dir=folder)
    finally:
        shutil.rmtree(folder)


def has_same_records(ours: list, stock: list) -> bool:
    """Whether every record is that of stock, which leaves the federated lists out."""
    ours, stock = ours.pop(), stock.pop()
    pairs = zip(ours, stock, strict=True)
    return len(ours) == len(stock) and all(
        all(found[key] == expected[key] for key in KEYS) for found, expected in pairs
    )


def make_datasets() -> dict:
    """Both data sets."""
    settings = make_cached_file()
    return dict(ours=load_ours(settings).pop(), stock=load_stock(settings).pop())


def repeat_ours(datasets: dict) -> list[int]:
    """Images in the order of the file, repeated as our sampler does with rounding up."""
    import numpy as np

    from plugins.datasets.samplers import RepeatFactorSampler

    sampler = RepeatFactorSampler(
        datasets['ours'], repeat_threshold=THRESHOLD, rounding='ceil', seed=0
    )
    factors = sampler.repeat_factors.astype(int)
    return np.repeat(np.arange(len(factors)), factors).tolist()


def repeat_stock(datasets: dict) -> list[int]:
    """The list of mmengine's wrapper."""
    from mmengine.dataset import ClassBalancedDataset

    return ClassBalancedDataset(datasets['stock'], oversample_thr=THRESHOLD).repeat_indices


ITEMS = (
    Benchmark(
        name='annotations_open',
        peer=f'mmdet LVISV1Dataset, {IMAGES} images, against opening the cache',
        setup=make_cached_file,
        ours=load_ours,
        peer_run=load_stock,
        check=has_same_records,
        repeats=2,
    ),
    Benchmark(
        name='annotations_build',
        peer=f'mmdet LVISV1Dataset, {IMAGES} images, against building the cache',
        setup=make_file,
        ours=build_ours,
        peer_run=load_stock,
        check=has_same_records,
        repeats=2,
    ),
    Benchmark(
        name='repeat_factors',
        peer=f'mmengine ClassBalancedDataset, {IMAGES} images',
        setup=make_datasets,
        ours=repeat_ours,
        peer_run=repeat_stock,
        check=lambda ours, stock: ours == stock,
    ),
)
