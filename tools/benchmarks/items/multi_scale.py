"""A training sample of a multi-scale pipeline without mixing, from the JPEG file to the model."""

import copy
import tempfile
from functools import partial

from tools.benchmarks.item import Benchmark
from tools.benchmarks.measure import BenchmarkError

NUM_IMAGES = 16
USUAL_SCALES = [(1333, side) for side in range(640, 801, 32)]
"""Longest and shortest side; what mmdet trains on LVIS with."""
WIDE_SCALES = [(1600, side) for side in range(400, 1401, 40)]
"""Of the recipes with the best results."""
FLIP_PROB = 0.5


def make_inputs(scales: list[tuple[int, int]]) -> dict:
    """Records, both pipelines, and the folder of the photographs as long as it is needed."""
    from mmengine.dataset import Compose

    import plugins  # noqa: F401 registers the transforms
    from mmdet.utils import register_all_modules
    from tools.benchmarks.mask_samples import draw_samples

    register_all_modules()
    folder = tempfile.TemporaryDirectory()
    image = [dict(type='LoadImageFromFile')]
    geometry = [
        dict(type='RandomChoiceResize', scales=scales, keep_ratio=True),
        dict(type='RandomFlip', prob=FLIP_PROB),
    ]
    stock = [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
    ours = [dict(type='LoadCropAnnotations', with_bbox=True, with_mask=True)]
    inputs = dict(
        folder=folder,
        runs=dict(ours=0, stock=0),
        samples=draw_samples(folder.name, NUM_IMAGES),
        stock=Compose([*image, *stock, *geometry, dict(type='PackDetInputs')]),
        ours=Compose([*image, *ours, *geometry, dict(type='PackFederatedInputs')]),
    )
    for index in range(NUM_IMAGES):
        if not same_sample(pack(inputs, 'ours', index), pack(inputs, 'stock', index)):
            raise BenchmarkError(f'sample {index} differs from the peer')
    return inputs


def pack(inputs: dict, side: str, index: int) -> dict:
    """Pack one sample, its masks as far as a worker has to before it hands them on."""
    import numpy as np

    np.random.seed(index)
    packed = inputs[side](copy.copy(inputs['samples'][index]))
    if side == 'ours':
        packed['data_samples'].gt_instances.masks.windows()
    return packed


def run(inputs: dict, side: str) -> dict:
    """Pack all samples, each forgotten when the next begins, as a worker does.

    Returns:
        One of them, with every run another.
    """
    inputs['runs'][side] += 1
    kept_index = inputs['runs'][side] % NUM_IMAGES
    for index in range(NUM_IMAGES):
        packed = pack(inputs, side, index)
        if index == kept_index:
            kept = packed
    return kept


def same_sample(ours: dict, stock: dict) -> bool:
    """Whether image, boxes, labels, all bitmaps and stock's metainfo are equal."""
    import torch

    same = torch.equal(ours['inputs'], stock['inputs'])
    ours, stock = ours['data_samples'], stock['data_samples']
    for mine, theirs in (
        (ours.gt_instances, stock.gt_instances),
        (ours.ignored_instances, stock.ignored_instances),
    ):
        same = same and torch.equal(mine.bboxes.tensor, theirs.bboxes.tensor)
        same = same and torch.equal(mine.labels, theirs.labels)
        same = same and bool((mine.masks.to_ndarray() == theirs.masks.to_ndarray()).all())
    return same and all(ours.metainfo[key] == value for key, value in stock.metainfo.items())


ITEMS = tuple(
    Benchmark(
        name=name,
        peer=f'mmdet: load, resize, flip, pack; {NUM_IMAGES} images with masks, short side {sides}',
        setup=partial(make_inputs, scales),
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same_sample,
    )
    for name, sides, scales in (
        ('multi_scale_usual', '640-800', USUAL_SCALES),
        ('multi_scale_wide', '400-1400', WIDE_SCALES),
    )
)
