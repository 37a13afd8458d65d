"""Mixing transforms together, in any order, and against mmdet's under the same random numbers."""

import copy

import numpy as np
import pytest

from mmdet.datasets.transforms import CopyPaste
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks
from tests.transforms.scenes import (
    LoadScene,
    SceneDataset,
    assert_same,
    make_scene,
    snapshot,
    tight_boxes,
)
from tools.benchmarks.mixing_peers import StockCopyPasteDraws

MOSAIC = dict(type='BalancedMosaic', prob=0.7, img_scale=(80, 60), repeat_threshold=0.5)
COPY_PASTE = dict(type='BalancedCopyPaste', prob=0.7, repeat_threshold=0.5)
RESIZE = dict(type='Resize', scale=(120, 100), keep_ratio=True)
FLIP = dict(type='RandomFlip', prob=0.5)
JITTER = dict(type='LargeScaleJitter', scale=(110, 90), ratio_range=(0.5, 1.5))
ORDERS = {
    'mosaic-resize-flip-paste': [MOSAIC, RESIZE, FLIP, COPY_PASTE],
    'paste-mosaic-jitter': [COPY_PASTE, MOSAIC, JITTER],
    'jitter-paste-flip-mosaic': [JITTER, COPY_PASTE, FLIP, MOSAIC],
    'paste-twice': [FLIP, COPY_PASTE, RESIZE, COPY_PASTE],
    'mosaic-twice': [MOSAIC, MOSAIC],
}


def make_scenes(num=12, shape=None):
    """Images of some sizes, or all of one."""
    generator = np.random.default_rng(1)
    shapes = [shape or tuple(map(int, generator.integers(40, 100, 2))) for _ in range(num)]
    return [
        make_scene(generator, int(generator.integers(0, 6)), range(12), shape) for shape in shapes
    ]


def build(dataset, configs):
    """The transforms of a pipeline, bound as a data set does it."""
    pipeline = [LoadScene(), _own_boxes, *(TRANSFORMS.build(dict(config)) for config in configs)]
    for position, transform in enumerate(pipeline):
        if hasattr(transform, 'bind'):
            transform.bind(dataset, pipeline[:position])
    return pipeline


def _own_boxes(results):
    """mmdet's transforms change boxes in place, so the sample gets its own."""
    return {**results, 'gt_bboxes': results['gt_bboxes'].clone()}


@pytest.mark.parametrize('order', ORDERS)
def test_any_order_gives_consistent_reproducible_samples(order):
    dataset = SceneDataset(make_scenes())
    before = [snapshot(scene) for scene in dataset.scenes]
    pipeline = build(dataset, ORDERS[order])

    def sample(seed):
        np.random.seed(seed)
        return dataset.load_partner(seed % len(dataset), pipeline)

    for seed in range(24):
        results = sample(seed)
        first, second = snapshot(results), snapshot(sample(seed))
        assert_same(first, second)
        masks = first['gt_masks']
        assert masks.shape == (len(first['gt_bboxes_labels']), *first['img'].shape[:2])
        visible = masks.any((1, 2))
        distance = np.abs(first['gt_bboxes'] - tight_boxes(masks))[visible]
        assert distance.max(initial=0) <= 2.5  # nearest resizing moves the edges of masks
        negative, not_exhaustive = first['lists']
        assert not set(negative) & {*first['gt_bboxes_labels'].tolist(), *not_exhaustive}
    for scene, old in zip(dataset.scenes, before, strict=True):
        assert_same(snapshot(scene), old)


@pytest.mark.parametrize('seed', range(12))
def test_copy_paste_equals_stock_under_the_same_random_numbers(seed):
    scenes = make_scenes(shape=(72, 96))
    transform = StockCopyPasteDraws(source='uniform', head_keep=1.0, source_transforms=[])
    transform.bind(SceneDataset(scenes), (LoadScene(),))
    np.random.seed(seed)
    results = transform(dict(scenes[seed]))
    state = np.random.get_state()[1:]

    stock = CopyPaste(selected=True)
    np.random.seed(seed)
    samples = [copy.deepcopy(scenes[i]) for i in (seed, stock.get_indexes(scenes))]
    for one in samples:
        bitmaps = one['gt_masks'].to_ndarray()
        one['gt_masks'] = BitmapMasks(bitmaps, *bitmaps.shape[1:])
    expected = stock.transform({**samples[0], 'mix_results': [samples[1]]})
    expected_state = np.random.get_state()[1:]

    assert all(np.array_equal(a, b) for a, b in zip(state, expected_state, strict=True))
    visible = expected['gt_masks'].areas > 0
    np.testing.assert_array_equal(results['img'], expected['img'])
    np.testing.assert_array_equal(
        results['gt_masks'].to_ndarray(), expected['gt_masks'].to_ndarray()[visible]
    )
    np.testing.assert_array_equal(
        results['gt_bboxes'].tensor, expected['gt_bboxes'].tensor[visible]
    )
    np.testing.assert_array_equal(
        results['gt_bboxes_labels'], expected['gt_bboxes_labels'][visible]
    )
