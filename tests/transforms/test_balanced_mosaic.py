"""Mosaics against golden numbers, mmdet's CachedMosaic, and the properties they must have."""

import numpy as np
import pytest
import torch

from mmdet.datasets.transforms import CachedMosaic, Mosaic
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.structures import CropMasks
from plugins.transforms import BalancedMosaic
from plugins.transforms.mixing_transform import MAX_DRAWS
from plugins.transforms.mosaic_tiles import lay_tiles
from tests.transforms.scenes import (
    LoadScene,
    SceneDataset,
    assert_same,
    boxes_of,
    empty_scene,
    make_scene,
    snapshot,
    tight_boxes,
)

AS_STOCK = dict(min_box_side=0, min_mask_area=0, min_area_left=0, recompute_bbox=False)


def make_scenes(seed=0, num=8, ignored=0.0):
    generator = np.random.default_rng(seed)
    return [
        make_scene(
            generator,
            int(generator.integers(0, 6)),
            range(12),
            tuple(int(side) for side in generator.integers(30, 130, 2)),
            ignored,
        )
        for _ in range(num)
    ]


def bound(dataset=None, **options):
    transform = BalancedMosaic(**{'prob': 1.0, 'img_scale': (96, 64), **options})
    dataset = SceneDataset(make_scenes()) if dataset is None else dataset
    transform.bind(dataset, (LoadScene(),))
    return transform


@pytest.mark.parametrize('number', ['00', '02', '04'])
def test_golden_mosaic(shared, number):
    with np.load(shared / f'golden/longtail/mosaic_{number}.npz') as case:
        parts = [
            dict(
                img=case[f'img{k}'],
                gt_bboxes=boxes_of(case[f'boxes{k}']),
                gt_bboxes_labels=case[f'labels{k}'],
                gt_ignore_flags=np.zeros(len(case[f'labels{k}']), bool),
                gt_masks=CropMasks.from_bitmaps(case[f'masks{k}']),
            )
            for k in range(4)
        ]
        transform = BalancedMosaic(
            img_scale=case['img_scale_wh'].tolist(), pad_val=int(case['pad_val']), **AS_STOCK
        )
        results = transform.compose(parts, case['center_xy'].tolist())
        np.testing.assert_array_equal(results['img'], case['out_img'])
        np.testing.assert_array_equal(results['gt_bboxes'].tensor, case['out_boxes'])
        np.testing.assert_array_equal(results['gt_bboxes_labels'], case['out_labels'])
        if 'out_masks' in case:
            # mmdet rounds the size of the image down and that of the masks to the nearest.
            ours, stock = results['gt_masks'].to_ndarray(), case['out_masks']
            overlap = (ours & stock).sum((1, 2)) / (ours | stock).sum((1, 2))
            large = stock.sum((1, 2)) > 300
            assert overlap[large].min() >= 0.9
            assert overlap.min() >= 0.75


@pytest.mark.parametrize('seed', range(6))
def test_equals_cached_mosaic_where_that_is_right(seed):
    """Square and with sides that divide: there, its masks have the size of its images."""
    generator = np.random.default_rng(seed)
    scenes = [
        make_scene(generator, int(generator.integers(1, 6)), range(12), shape)
        for shape in ((64, 64), (32, 64), (64, 40), (128, 96))
    ]
    parts = [dict(scene) for scene in scenes]
    stock = CachedMosaic(img_scale=(64, 64), prob=1.0)
    dense = []
    for scene in scenes:
        bitmaps = scene['gt_masks'].to_ndarray()
        masks = BitmapMasks(bitmaps, *bitmaps.shape[1:])
        dense.append({**scene, 'gt_masks': masks, 'gt_bboxes': scene['gt_bboxes'].clone()})
    stock.results_cache = [*dense[1:], dense[1]]
    stock.get_indexes = lambda cache: [0, 1, 2]
    center = tuple(int(side) for side in generator.integers(32, 96, 2))
    draws = iter([0.0, center[0] / 64, center[1] / 64])
    with pytest.MonkeyPatch.context() as patch:
        uniform = 'mmdet.datasets.transforms.transforms.random.uniform'
        patch.setattr(uniform, lambda *limits: next(draws))
        expected = stock.transform(dense[0])
    results = BalancedMosaic(img_scale=(64, 64), **AS_STOCK).compose(parts, center)
    for key in ('img', 'gt_bboxes_labels', 'gt_ignore_flags'):
        np.testing.assert_array_equal(results[key], expected[key])
    assert torch.equal(results['gt_bboxes'].tensor, expected['gt_bboxes'].tensor)
    np.testing.assert_array_equal(results['gt_masks'].to_ndarray(), expected['gt_masks'].masks)


def test_equals_stock_mosaic_in_image_and_boxes_for_oblong_scales():
    scenes = [{k: v for k, v in scene.items() if k != 'gt_masks'} for scene in make_scenes(4)]
    stock = Mosaic(img_scale=(96, 64), prob=1.0)
    for seed in range(5):
        np.random.seed(seed)
        parts = [dict(scenes[i]) for i in np.random.permutation(len(scenes))[:4]]
        state = np.random.get_state()
        copies = [{**part, 'gt_bboxes': part['gt_bboxes'].clone()} for part in parts]
        expected = stock.transform({**copies[0], 'mix_results': copies[1:]})
        np.random.set_state(state)
        np.random.uniform()
        center = tuple(int(np.random.uniform(0.5, 1.5) * side) for side in (96, 64))
        results = BalancedMosaic(img_scale=(96, 64), **AS_STOCK).compose(parts, center)
        np.testing.assert_array_equal(results['img'], expected['img'])
        assert torch.equal(results['gt_bboxes'].tensor, expected['gt_bboxes'].tensor)
        np.testing.assert_array_equal(results['gt_bboxes_labels'], expected['gt_bboxes_labels'])


@pytest.mark.parametrize('img_scale', [(96, 64), (50, 121), (80, 80)])
def test_mosaic_stays_consistent(img_scale):
    scenes = [*make_scenes(1, ignored=0.2), empty_scene()]
    before = [snapshot(scene) for scene in scenes]
    dataset = SceneDataset(scenes)
    transform = bound(dataset, img_scale=img_scale)
    num_dropped = 0
    for seed in range(40):
        np.random.seed(seed)
        dataset.loaded.clear()
        first = seed % len(scenes)
        results = transform(dict(scenes[first]))
        new = snapshot(results)
        canvas = 2 * img_scale[1], 2 * img_scale[0]
        assert new['img'].shape == (*canvas, 3) and new['img'].dtype == np.uint8
        assert results['img_shape'] == results['ori_shape'] == canvas
        masks = new['gt_masks']
        assert masks.shape[1:] == canvas
        assert (masks.sum((1, 2)) >= 4).all()
        assert np.abs(new['gt_bboxes'] - tight_boxes(masks)).max(initial=0) <= 1
        assert results['gt_bboxes'].widths.min() >= 2 if len(masks) else True
        used = [first, *dataset.loaded]
        assert len(used) == 4
        labels = np.concatenate([before[i]['gt_bboxes_labels'] for i in used])
        num_dropped += len(labels) - len(masks)
        assert_in_order(new['gt_bboxes_labels'].tolist(), labels.tolist())
        negative, not_exhaustive = new['lists']
        assert not set(negative) & set(new['gt_bboxes_labels'].tolist())
        assert set(not_exhaustive) <= set(new['gt_bboxes_labels'].tolist())
    assert num_dropped > 0
    for scene, old in zip(scenes, before, strict=True):
        assert_same(snapshot(scene), old)


def assert_in_order(part, whole):
    """Fail unless `part` is `whole` with some elements left out."""
    remaining = iter(whole)
    assert all(any(one == other for other in remaining) for one in part)


def test_every_mask_lies_in_the_quadrant_of_its_image():
    generator = np.random.default_rng(5)
    scenes = [make_scene(generator, 5, [k], (60 + 9 * k, 90)) for k in range(4)]
    for center in ((50, 40), (96, 64), (140, 95)):
        parts = [dict(scene) for scene in scenes]
        results = BalancedMosaic(img_scale=(96, 64)).compose(parts, center)
        masks = results['gt_masks'].to_ndarray()
        assert len(masks) >= 8
        for mask, label in zip(masks, results['gt_bboxes_labels'], strict=True):
            mask = mask.copy()
            rows = slice(0, center[1]) if label < 2 else slice(center[1], None)
            columns = slice(0, center[0]) if label % 2 == 0 else slice(center[0], None)
            mask[rows, columns] = 0
            assert not mask.any()


def test_pixels_of_masks_and_image_move_together():
    """A picture that shows its own masks still does so in the mosaic."""
    scenes = []
    for scene in make_scenes(6, num=4):
        painted = np.where(scene['gt_masks'].to_ndarray().any(0), 255, 0).astype(np.uint8)
        scenes.append({**scene, 'img': np.repeat(painted[..., None], 3, axis=2)})
    results = BalancedMosaic(img_scale=(96, 64), pad_val=0, **AS_STOCK).compose(scenes, (90, 70))
    shown = results['img'][..., 0] > 127
    annotated = results['gt_masks'].to_ndarray().any(0)
    # Images are interpolated, masks are not: they may differ along edges.
    assert (shown & annotated).sum() / (shown | annotated).sum() > 0.9


def test_same_seed_gives_the_same_mosaic():
    transform, scene = bound(), make_scenes()[3]

    def sample(seed):
        np.random.seed(seed)
        return snapshot(transform(dict(scene)))

    assert_same(sample(1), sample(1))
    assert (sample(1)['img'] != sample(2)['img']).any()


def test_partners_follow_the_repeat_factors():
    scenes = [make_scene(np.random.default_rng(k), 3, [0]) for k in range(9)]
    scenes.append(make_scene(np.random.default_rng(9), 3, [1]))
    for threshold, expected in ((0.0, 0.1), (1.0, np.sqrt(10) / (np.sqrt(10) + 9 / np.sqrt(0.9)))):
        transform = bound(SceneDataset(scenes), repeat_threshold=threshold)
        np.random.seed(0)
        drawn = np.array([transform.draw_partner()[0] for _ in range(3000)])
        assert abs((drawn == 9).mean() - expected) < 0.03


def test_partners_go_through_all_earlier_transforms():
    dataset = SceneDataset(make_scenes())
    transform = BalancedMosaic(prob=1.0, img_scale=(96, 64))
    flip = TRANSFORMS.build(dict(type='RandomFlip', prob=1.0))
    seen = []
    transform.bind(dataset, (LoadScene(), flip, lambda results: seen.append(results) or results))
    transform(dict(dataset.scenes[0]))
    assert [results['flip'] for results in seen] == [True] * 3


def many_objects(num, shape=(64, 64)):
    generator = np.random.default_rng(0)
    windows = [
        (int(x), int(y), np.ones((5, 6), np.uint8)) for x, y in generator.integers(0, 58, (num, 2))
    ]
    masks = CropMasks.from_windows(windows, *shape)
    return dict(
        img=np.zeros((*shape, 3), np.uint8),
        gt_bboxes=masks.get_bboxes('hbox'),
        gt_bboxes_labels=np.zeros(num, np.int64),
        gt_ignore_flags=np.zeros(num, bool),
        gt_masks=masks,
    )


def test_more_than_six_hundred_objects():
    parts = [many_objects(200) for _ in range(4)]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (64, 64))
    assert len(results['gt_masks']) == len(results['gt_bboxes']) == 800
    assert (results['gt_masks'].areas >= 4).all()


@pytest.mark.parametrize('filled', range(16))
def test_empty_images_in_any_slot(filled):
    scene = make_scene(np.random.default_rng(0), 3, [1], (64, 64))
    parts = [dict(scene) if filled >> k & 1 else empty_scene((50, 70)) for k in range(4)]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (64, 64))
    assert len(results['gt_masks']) == len(results['gt_bboxes']) == 3 * filled.bit_count()
    assert results['gt_bboxes'].tensor.shape == (3 * filled.bit_count(), 4)
    assert results['gt_bboxes_labels'].dtype == np.int64
    assert results['gt_ignore_flags'].dtype == bool


def square_part(box, shape=(64, 64), label=0, ignored=False, **lists):
    """One rectangular object in an image that fits the cell exactly."""
    bitmap = np.zeros((1, *shape), np.uint8)
    bitmap[0, box[1] : box[3], box[0] : box[2]] = 1
    return dict(
        img=np.zeros((*shape, 3), np.uint8),
        gt_bboxes=boxes_of([box]),
        gt_bboxes_labels=np.array([label]),
        gt_ignore_flags=np.array([ignored]),
        gt_masks=CropMasks.from_bitmaps(bitmap),
        **lists,
    )


@pytest.mark.parametrize(
    ('box', 'is_kept'),
    [
        ((20, 20, 40, 40), True),  # whole
        ((0, 20, 30, 40), False),  # outside: the canvas starts at column 32 of the image
        ((20, 20, 40, 40), True),
        ((0, 20, 34, 40), False),  # 2 of 34 columns are left
        ((25, 20, 36, 40), True),  # 4 of 11 columns
        ((40, 20, 41, 40), False),  # one column wide
        ((40, 20, 43, 21), False),  # one row high
    ],
)
def test_objects_are_dropped_by_the_rules(box, is_kept):
    parts = [square_part(box), *(empty_scene((64, 64)) for _ in range(3))]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (32, 64))
    assert len(results['gt_masks']) == len(results['gt_bboxes']) == is_kept


def test_small_masks_are_dropped():
    part = square_part((40, 20, 45, 25))
    bitmap = np.zeros((1, 64, 64), np.uint8)
    bitmap[0, [20, 24, 24], [40, 40, 44]] = 1
    part['gt_masks'] = CropMasks.from_bitmaps(bitmap)
    others = [empty_scene((64, 64)) for _ in range(3)]
    for least, expected in ((4, 0), (3, 1)):
        transform = BalancedMosaic(img_scale=(64, 64), min_mask_area=least)
        results = transform.compose([dict(part), *others], (64, 64))
        assert len(results['gt_masks']) == expected


def test_ignored_region_without_mask_is_judged_by_its_box():
    part = square_part((20, 20, 40, 40), ignored=True)
    part['gt_masks'] = CropMasks.from_bitmaps(np.zeros((1, 64, 64), np.uint8))
    others = [empty_scene((64, 64)) for _ in range(3)]
    results = BalancedMosaic(img_scale=(64, 64)).compose([dict(part), *others], (64, 64))
    assert results['gt_bboxes'].tensor.tolist() == [[20, 20, 40, 40]]
    part['gt_ignore_flags'] = np.array([False])
    results = BalancedMosaic(img_scale=(64, 64)).compose([dict(part), *others], (64, 64))
    assert len(results['gt_bboxes']) == 0


def test_boxes_of_cut_objects_are_tight_unless_told_otherwise():
    part = square_part((0, 10, 60, 60))
    triangle = np.tril(np.ones((50, 50), np.uint8))
    part['gt_masks'] = CropMasks.from_windows([(0, 10, triangle)], 64, 64)
    part['gt_bboxes'] = boxes_of([[0, 10, 50, 60]])
    others = [empty_scene((64, 64)) for _ in range(3)]
    boxes = {}
    for recompute in (True, False):
        transform = BalancedMosaic(img_scale=(64, 64), recompute_bbox=recompute)
        results = transform.compose([dict(part), *others], (34, 64))
        boxes[recompute] = results['gt_bboxes'].tensor.tolist()
    assert boxes == {True: [[0, 40, 20, 60]], False: [[0, 10, 20, 60]]}


def test_boxes_alone_are_enough():
    scenes = [{k: v for k, v in scene.items() if k != 'gt_masks'} for scene in make_scenes(2)]
    transform = bound(SceneDataset(scenes))
    np.random.seed(0)
    results = transform(dict(scenes[1]))
    assert 'gt_masks' not in results
    assert len(results['gt_bboxes']) == len(results['gt_bboxes_labels']) > 0
    assert isinstance(results['gt_bboxes'], HorizontalBoxes)


def test_stock_bitmaps_and_boxes_as_arrays_give_the_same_mosaic():
    scenes = make_scenes(3)
    dense = []
    for scene in scenes:
        bitmaps = scene['gt_masks'].to_ndarray()
        masks = BitmapMasks(bitmaps, *bitmaps.shape[1:])
        dense.append({**scene, 'gt_masks': masks, 'gt_bboxes': scene['gt_bboxes'].numpy()})
    samples = []
    for group in (scenes, dense):
        np.random.seed(7)
        samples.append(bound(SceneDataset(group))(dict(group[0])))
    samples[1]['gt_bboxes'] = HorizontalBoxes(samples[1]['gt_bboxes'])
    assert_same(*map(snapshot, samples))


def test_lists_of_the_parts_are_merged_after_the_cut():
    parts = [
        # The canvas cuts label 0 away: it is absent from this part for certain.
        square_part((0, 20, 20, 40), neg_labels=[1, 5], not_exhaustive_labels=[]),
        square_part((5, 5, 40, 40), label=1, neg_labels=[0, 5], not_exhaustive_labels=[]),
        # A remnant of label 2 stays visible without annotation.
        square_part((0, 5, 34, 40), label=2, neg_labels=[0, 1, 5], not_exhaustive_labels=[]),
        square_part((5, 5, 40, 40), label=2, neg_labels=[0, 1, 5], not_exhaustive_labels=[]),
    ]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (32, 64))
    assert sorted(results['gt_bboxes_labels'].tolist()) == [1, 2]
    assert results['neg_labels'] == [0, 5]
    assert results['not_exhaustive_labels'] == [2]


def test_samples_without_lists_stay_without():
    parts = [square_part((5, 5, 40, 40)) for _ in range(4)]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (64, 64))
    assert 'neg_labels' not in results and 'not_exhaustive_labels' not in results


def test_canvas_is_an_original_image_for_what_follows():
    stale = dict(
        homography_matrix=np.eye(3) * 2, scale=(9, 9), flip=True, flip_direction='vertical'
    )
    parts = [{**square_part((5, 5, 40, 40)), **stale, 'img_id': k} for k in range(4)]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (64, 64))
    assert results['img_id'] == 0 and not results['flip']
    resize = TRANSFORMS.build(dict(type='Resize', scale=(64, 64)))
    results = resize(results)
    np.testing.assert_allclose(results['homography_matrix'], np.diag([0.5, 0.5, 1]))
    assert results['scale_factor'] == (0.5, 0.5)
    assert results['ori_shape'] == (128, 128)


def test_extreme_shapes_keep_a_pixel():
    tiles = lay_tiles([(1, 5000), (5000, 1), (1, 1), (3, 2)], (64, 64), (64, 64))
    assert all(tile.width >= 1 and tile.height >= 1 for tile in tiles)
    parts = [empty_scene((1, 5000)), *(empty_scene((64, 64)) for _ in range(3))]
    results = BalancedMosaic(img_scale=(64, 64)).compose(parts, (40, 40))
    assert results['img'].shape == (128, 128, 3)


def test_rejected_partners_are_drawn_again():
    dataset = SceneDataset(make_scenes(), rejects=lambda index: index % 2 == 1)
    np.random.seed(0)
    bound(dataset)(dict(dataset.scenes[0]))
    assert sum(index % 2 == 0 for index in dataset.loaded) == 3
    assert len(dataset.loaded) > 3


def test_nothing_but_rejected_partners_is_an_error():
    dataset = SceneDataset(make_scenes(), rejects=lambda index: True)
    with pytest.raises(UserError, match=f'BalancedMosaic drew {MAX_DRAWS} images'):
        bound(dataset)(dict(dataset.scenes[0]))


@pytest.mark.parametrize(
    'options',
    [
        dict(prob=2),
        dict(img_scale=800),
        dict(img_scale=(800,)),
        dict(img_scale=(0, 800)),
        dict(img_scale=(800.5, 800)),
        dict(center_ratio_range=(0.5, 2.5)),
        dict(center_ratio_range=(1.5, 0.5)),
        dict(center_ratio_range=1.0),
        dict(center_ratio_range=('0.5', '1.5')),
        dict(pad_val=-1),
        dict(repeat_threshold=-1e-3),
        dict(min_box_side=-1),
        dict(min_mask_area=-1),
        dict(min_area_left=1.5),
    ],
)
def test_options_out_of_range_are_refused_by_name(options):
    with pytest.raises(UserError, match=rf'BalancedMosaic\.{next(iter(options))}(\[0\])?='):
        TRANSFORMS.build(dict(type='BalancedMosaic', **options))


def test_place_in_the_pipeline_is_checked():
    with pytest.raises(UserError, match='BalancedMosaic needs a data set'):
        BalancedMosaic(prob=1.0)(empty_scene())
    with pytest.raises(UserError, match='BalancedMosaic must come after the loading'):
        BalancedMosaic().bind(SceneDataset(make_scenes()), ())
