"""A training sample with large-scale jitter and copy-paste, from JPEG files to the model."""

import tempfile

from tools.benchmarks.item import Benchmark

NUM_IMAGES = 16
RATIO_RANGE = (0.1, 2.0)


def make_inputs(scale: tuple[int, int]) -> dict:
    """Both data sets of the same records, with the same jitter at canvas (width, height).

    Stock pads before it flips, as our jitter does in one step; otherwise a mirrored image would lie
    at another place of the canvas. That costs stock a tenth more than the order of its own configs.
    """
    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.datasets import MultiImageMixDataset
    from mmdet.utils import register_all_modules
    from tools.benchmarks.mask_samples import draw_samples
    from tools.benchmarks.mixing_peers import Records, ServingRecords, StockCopyPasteDraws

    register_all_modules()
    folder = tempfile.TemporaryDirectory()
    samples = draw_samples(folder.name, NUM_IMAGES)
    load = dict(type='LoadImageFromFile')
    end = [
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=False),
        dict(type='RandomFlip', prob=0.5),
    ]
    stock_jitter = [
        dict(type='RandomResize', scale=scale, ratio_range=RATIO_RANGE, keep_ratio=True),
        dict(
            type='RandomCrop',
            crop_type='absolute',
            crop_size=scale,
            recompute_bbox=True,
            allow_negative_crop=True,
        ),
        dict(type='Pad', size=scale),
        *end,
    ]
    our_jitter = [dict(type='LargeScaleJitter', scale=scale, ratio_range=RATIO_RANGE), *end]
    annotations = dict(with_bbox=True, with_mask=True)
    stock = MultiImageMixDataset(
        Records(samples, [load, dict(type='LoadAnnotations', **annotations), *stock_jitter]),
        [dict(type='CopyPaste', selected=True), dict(type='PackDetInputs')],
    )
    ours = ServingRecords(
        samples,
        [
            load,
            dict(type='LoadCropAnnotations', **annotations),
            *our_jitter,
            StockCopyPasteDraws(source='uniform', head_keep=1.0, source_transforms=our_jitter),
            dict(type='PackFederatedInputs'),
        ],
    )
    return dict(folder=folder, stock=stock, ours=ours)


def run(inputs: dict, side: str) -> list[dict]:
    """Make every sample once, its masks as far as a worker has to before it hands them on."""
    import numpy as np

    packed = []
    for index in range(NUM_IMAGES):
        np.random.seed(index)
        packed.append(inputs[side][index])
        if side == 'ours':
            packed[-1]['data_samples'].gt_instances.masks.windows()
    return packed


def same_samples(ours: list[dict], stock: list[dict]) -> bool:
    """Whether image values, boxes, labels and all bitmaps are equal.

    Objects that stock keeps although nothing of them is visible do not count.
    """
    return all(_same_sample(a, b) for a, b in zip(ours, stock, strict=True))


def _same_sample(ours: dict, stock: dict) -> bool:
    import torch

    mine, theirs = (side['data_samples'].gt_instances for side in (ours, stock))
    bitmaps = theirs.masks.to_ndarray()
    visible = bitmaps.any((1, 2))
    return (
        torch.equal(ours['inputs'].long(), stock['inputs'].long())
        and ours['inputs'].dtype == torch.uint8
        and torch.equal(mine.bboxes.tensor, theirs.bboxes.tensor[visible])
        and torch.equal(mine.labels, theirs.labels[visible])
        and bool((mine.masks.to_ndarray() == bitmaps[visible]).all())
    )


ITEMS = tuple(
    Benchmark(
        name=f'copy_paste_{width}x{height}',
        peer='mmdet MultiImageMixDataset with CopyPaste: 16 samples after large-scale jitter',
        setup=lambda scale=(width, height): make_inputs(scale),
        ours=lambda inputs: run(inputs, 'ours'),
        peer_run=lambda inputs: run(inputs, 'stock'),
        check=same_samples,
        repeats=3,
    )
    for width, height in ((1024, 1024), (1333, 800))
)
