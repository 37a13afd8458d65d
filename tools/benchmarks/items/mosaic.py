"""The mosaic step alone, on four loaded images with masks and a canvas of 1280 x 1280."""

import tempfile

from tools.benchmarks.item import Benchmark

NUM_MOSAICS = 4
SIDE = 640


def make_inputs() -> dict:
    """Loaded samples in groups of four, both transforms with the same rules for objects."""
    from mmengine.dataset import Compose

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.datasets.transforms import CachedMosaic
    from mmdet.utils import register_all_modules
    from plugins.transforms import BalancedMosaic
    from tools.benchmarks.mask_samples import draw_samples

    register_all_modules()
    with tempfile.TemporaryDirectory() as folder:
        samples = draw_samples(folder, 4 * NUM_MOSAICS)
        loaded = {}
        for side, loading in (('stock', 'LoadAnnotations'), ('ours', 'LoadCropAnnotations')):
            steps = [dict(type='LoadImageFromFile'), dict(type=loading, with_mask=True)]
            loaded[side] = [Compose(steps)(dict(sample)) for sample in samples]
    rules = dict(min_box_side=0, min_mask_area=0, min_area_left=0, recompute_bbox=False)
    return dict(
        samples=loaded,
        stock=CachedMosaic(img_scale=(SIDE, SIDE), prob=1.0),
        ours=BalancedMosaic(img_scale=(SIDE, SIDE), **rules),
    )


def run_stock(inputs: dict) -> list[dict]:
    """Make every mosaic from a cache that holds its four images."""
    import numpy as np

    transform, results = inputs['stock'], []
    for group in range(NUM_MOSAICS):
        np.random.seed(group)
        parts = inputs['samples']['stock'][4 * group : 4 * group + 4]
        transform.results_cache = list(parts)
        results.append(transform(dict(parts[0])))
    return results


def run_ours(inputs: dict) -> list[dict]:
    """Make the same mosaics, their masks as far as a worker has to before it hands them on."""
    import numpy as np

    transform, results = inputs['ours'], []
    for group in range(NUM_MOSAICS):
        np.random.seed(group)
        parts = inputs['samples']['ours'][4 * group : 4 * group + 4]
        np.random.uniform()  # stock decides whether to mix even at probability 1
        chosen = inputs['stock'].get_indexes([*parts, parts[0]])
        parts = [_fresh(parts[i]) for i in (0, *chosen)]
        results.append(transform.compose(parts, transform.draw_center()))
        results[-1]['gt_masks'].windows()
    return results


def _fresh(part: dict) -> dict:
    """The sample as just loaded: its masks remember no pixels from an earlier run."""
    masks = part['gt_masks']
    masks = type(masks)(masks.crops, masks.origins, masks.rows, masks.columns)
    return {**part, 'gt_masks': masks}


def same_mosaics(ours: list[dict], stock: list[dict]) -> bool:
    """Whether images, boxes, labels and all bitmaps are equal."""
    return all(_same_mosaic(a, b) for a, b in zip(ours, stock, strict=True))


def _same_mosaic(ours: dict, stock: dict) -> bool:
    import numpy as np
    import torch

    return (
        np.array_equal(ours['img'], stock['img'])
        and ours['img'].dtype == stock['img'].dtype
        and torch.equal(ours['gt_bboxes'].tensor, stock['gt_bboxes'].tensor)
        and np.array_equal(ours['gt_bboxes_labels'], stock['gt_bboxes_labels'])
        and np.array_equal(ours['gt_ignore_flags'], stock['gt_ignore_flags'])
        and np.array_equal(ours['gt_masks'].to_ndarray(), stock['gt_masks'].to_ndarray())
    )


ITEMS = (
    Benchmark(
        name='mosaic',
        peer='mmdet CachedMosaic, 4 mosaics of 1280 x 1280 with masks',
        setup=make_inputs,
        ours=run_ours,
        peer_run=run_stock,
        check=same_mosaics,
        repeats=3,
    ),
)
