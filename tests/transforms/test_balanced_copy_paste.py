"""Properties of balanced copy-paste on random scenes."""

import logging

import numpy as np
import pytest
from mmengine.logging import MMLogger

from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from plugins.errors import UserError
from plugins.transforms import BalancedCopyPaste
from plugins.transforms.mixing_transform import MAX_DRAWS
from tests.transforms.scenes import (
    LoadScene,
    SceneDataset,
    assert_same,
    empty_scene,
    make_scene,
    snapshot,
    tight_boxes,
)

HEAD, TAIL = (0, 1, 2), (9, 10, 11)
THRESHOLD = 0.3


def make_scenes(num=20, ignored=0.0):
    """Every image shows head labels, few of them a tail label, one nothing."""
    generator = np.random.default_rng(3)
    scenes = [
        make_scene(generator, int(generator.integers(3, 8)), HEAD, ignored=ignored)
        for _ in range(num - 4)
    ]
    scenes += [make_scene(generator, 5, (*HEAD, label), (60, 50), ignored) for label in TAIL]
    for scene, label in zip(scenes[-3:], TAIL, strict=True):
        scene['gt_bboxes_labels'][-1] = label
        scene['gt_ignore_flags'][-1] = False
        for key in ('neg_labels', 'not_exhaustive_labels'):
            scene[key] = sorted(set(scene[key]) - {label})
    return [*scenes, empty_scene()]


def bound(dataset=None, **options):
    transform = BalancedCopyPaste(**{'prob': 1.0, 'repeat_threshold': THRESHOLD, **options})
    dataset = SceneDataset(make_scenes()) if dataset is None else dataset
    transform.bind(dataset, (LoadScene(),))
    return transform


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(source='rfs', paste_prob=1.0),
        dict(source='uniform', head_keep=1.0, source_ratio_range=(0.1, 2.0)),
        dict(max_sources=3, paste_prob=1.0, random_place=True),
    ],
)
def test_sample_stays_consistent(options):
    scenes = make_scenes(ignored=0.2)
    transform = bound(SceneDataset(scenes), **options)
    before = [snapshot(scene) for scene in scenes]
    num_changed = 0
    for seed in range(40):
        np.random.seed(seed)
        old = before[seed % len(scenes)]
        results = transform(dict(scenes[seed % len(scenes)]))
        new = snapshot(results)
        is_head = np.isin(new['gt_bboxes_labels'], HEAD)
        if options.get('head_keep', 0) == 0:
            assert is_head.sum() <= np.isin(old['gt_bboxes_labels'], HEAD).sum()
        assert new['img'].dtype == np.uint8
        masks = new['gt_masks']
        assert masks.any((1, 2)).all()
        np.testing.assert_array_equal(new['gt_bboxes'], tight_boxes(masks))
        differs = (new['img'] != old['img']).any(-1)
        assert not (differs & ~masks.any(0)).any()
        assert len(new['gt_bboxes_labels']) == len(masks) == len(new['gt_ignore_flags'])
        negative, not_exhaustive = new['lists']
        assert not set(negative) & (set(new['gt_bboxes_labels'].tolist()) | set(not_exhaustive))
        num_changed += differs.any()
    assert num_changed > 10
    for scene, old in zip(scenes, before, strict=True):
        assert_same(snapshot(scene), old)


@pytest.mark.parametrize('max_sources', [1, 4])
def test_masks_are_disjoint_where_objects_were_pasted(max_sources):
    scenes = make_scenes()
    for scene in scenes[:-4]:
        scene['gt_bboxes_labels'] = scene['gt_bboxes_labels'] % 3
    sources = [make_scene(np.random.default_rng(k), 1, [k % 3]) for k in range(5)]
    transform = bound(
        SceneDataset(sources),
        source='uniform',
        head_keep=1.0,
        paste_prob=1.0,
        max_sources=max_sources,
    )
    for seed in range(20):
        np.random.seed(seed)
        scene = dict(scenes[seed % len(scenes)])
        scene['gt_bboxes_labels'] = scene['gt_bboxes_labels'] + 100
        num_before = len(scene['gt_bboxes_labels'])
        results = transform(scene)
        old = results['gt_bboxes_labels'] >= 100
        masks = results['gt_masks'].to_ndarray().astype(int)
        assert old.sum() <= num_before
        assert np.flatnonzero(~old).min(initial=len(old)) >= old.sum()  # pasted ones come last
        pasted = masks[~old].sum(0)
        assert pasted.max(initial=0) <= 1
        assert not (pasted[None] * masks[old]).any()


def test_same_seed_gives_the_same_sample_and_another_seed_another():
    transform, scene = bound(), make_scenes()[0]

    def sample(seed):
        np.random.seed(seed)
        return snapshot(transform(dict(scene)))

    assert_same(sample(1), sample(1))
    assert any((sample(1)['img'] != sample(seed)['img']).any() for seed in (2, 3))


def test_partners_are_loaded_only_for_samples_that_are_mixed():
    dataset = SceneDataset(make_scenes())
    transform = bound(dataset, prob=0.3)
    np.random.seed(0)
    for _ in range(200):
        transform(dict(dataset.scenes[0]))
    assert 30 < len(dataset.loaded) < 90


def test_each_tail_category_is_pasted_and_ignored_objects_never_are():
    scenes = make_scenes()
    for scene in scenes[:-4]:
        scene['gt_ignore_flags'][:] = True
    # Only the drawn categories are tail here; ignored regions carry label 5.
    for scene in scenes[-4:-1]:
        scene['gt_bboxes_labels'][0] = 5
        scene['gt_ignore_flags'][0] = True
    transform = bound(SceneDataset(scenes), paste_prob=1.0, head_keep=1.0)
    found = []
    for seed in range(60):
        np.random.seed(seed)
        found += transform(empty_scene())['gt_bboxes_labels'].tolist()
    assert set(TAIL) <= set(found)
    assert 5 not in found


def test_object_of_the_drawn_category_is_pasted_whenever_it_is_visible():
    transform = bound(paste_prob=0.0, source_ratio_range=(1.0, 1.0))
    for seed in range(20):
        np.random.seed(seed)
        labels = transform(empty_scene())['gt_bboxes_labels']
        assert len(labels) == 1 and labels[0] in TAIL


def test_no_more_than_max_pasted_objects_and_the_drawn_category_first():
    scenes = [make_scene(np.random.default_rng(k), 8, [0]) for k in range(8)]
    scenes[0]['gt_bboxes_labels'] = np.array([9, *[10] * 7])
    scenes[0].update(neg_labels=[], not_exhaustive_labels=[])
    transform = bound(SceneDataset(scenes), paste_prob=1.0, max_pasted=2, max_sources=3)
    transform.draw_partner = lambda: (0, 9)
    for seed in range(10):
        np.random.seed(seed)
        labels = transform(empty_scene((200, 300)))['gt_bboxes_labels'].tolist()
        assert labels.count(9) >= 1
        assert len(labels) <= 2


def test_sources_follow_the_option():
    dataset = SceneDataset(make_scenes())
    for source, expected in (('class', 1.0), ('uniform', 3 / 20)):
        transform = bound(dataset, source=source)
        np.random.seed(0)
        indices = np.array([transform.draw_partner()[0] for _ in range(600)])
        share = np.isin(indices, (16, 17, 18)).mean()
        assert abs(share - expected) < 0.06
    transform = bound(dataset, source='rfs')
    np.random.seed(0)
    indices = np.array([transform.draw_partner()[0] for _ in range(600)])
    r = np.sqrt(THRESHOLD * 20)
    assert abs(np.isin(indices, (16, 17, 18)).mean() - 3 * r / (3 * r + 17)) < 0.06


def test_pixels_come_from_the_source_at_their_place():
    scene = make_scenes()[-2]
    dataset = SceneDataset([*make_scenes()[:16], scene])
    transform = bound(dataset, source_ratio_range=(1.0, 1.0), source_flip_prob=0.0, paste_prob=0.0)
    canvas = empty_scene((60, 50))
    np.random.seed(0)
    results = transform(dict(canvas))
    position = scene['gt_bboxes_labels'].tolist().index(TAIL[2])
    mask = scene['gt_masks'].to_ndarray()[position].astype(bool)
    np.testing.assert_array_equal(results['gt_masks'].to_ndarray()[0].astype(bool), mask)
    expected = np.where(mask[..., None], scene['img'], canvas['img'])
    np.testing.assert_array_equal(results['img'], expected)


def test_stock_bitmaps_give_the_same_sample():
    transform, scene = bound(), make_scenes()[0]
    bitmaps = scene['gt_masks'].to_ndarray()
    dense = {**scene, 'gt_masks': BitmapMasks(bitmaps, *bitmaps.shape[1:])}
    samples = []
    for results in (dict(scene), dense):
        np.random.seed(2)
        samples.append(snapshot(transform(results)))
    assert len(samples[0]['gt_bboxes_labels']) > len(scene['gt_bboxes_labels']) - 2
    assert_same(*samples)


def test_boxes_as_arrays_stay_arrays():
    transform, scene = bound(), make_scenes()[0]
    results = {**scene, 'gt_bboxes': scene['gt_bboxes'].numpy()}
    np.random.seed(2)
    results = transform(results)
    assert isinstance(results['gt_bboxes'], np.ndarray)
    assert len(results['gt_bboxes']) == len(results['gt_masks'])


def test_source_transforms_take_the_place_of_the_jitter():
    pad = dict(type='Pad', size=(120, 110))
    transform = bound(source_transforms=[pad])
    canvas = empty_scene((110, 120))
    np.random.seed(1)
    results = transform(dict(canvas))
    assert len(results['gt_bboxes_labels']) >= 1
    boxes = results['gt_bboxes'].tensor
    assert boxes[:, 2].max() <= 50 and boxes[:, 3].max() <= 60  # the source scenes are 60 x 50


def test_source_transforms_that_mix_are_refused():
    with pytest.raises(UserError, match='BalancedMosaic; a source image cannot be mixed'):
        bound(source_transforms=[dict(type='BalancedMosaic')])


def test_source_transforms_of_another_size_are_refused():
    transform = bound(source_transforms=[dict(type='Pad', size=(120, 110))])
    with pytest.raises(UserError, match=r'120 x 110 pixels \(w x h\), the sample has 96 x 72'):
        transform(empty_scene())


def test_rejected_sources_are_drawn_again():
    dataset = SceneDataset(make_scenes(), rejects=lambda index: index != 17)
    np.random.seed(0)
    results = bound(dataset)(empty_scene())
    assert results['gt_bboxes_labels'].tolist().count(TAIL[1]) == 1
    assert dataset.loaded[-1] == 17


def test_nothing_but_rejected_sources_is_an_error():
    dataset = SceneDataset(make_scenes(), rejects=lambda index: True)
    with pytest.raises(UserError, match=f'BalancedCopyPaste drew {MAX_DRAWS} images'):
        bound(dataset)(empty_scene())
    assert len(dataset.loaded) == MAX_DRAWS


@pytest.fixture
def warnings_of_log():
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


def test_data_without_tail_warns_once_and_is_left_alone(warnings_of_log):
    dataset = SceneDataset([make_scene(np.random.default_rng(k), 3, [0]) for k in range(3)])
    transform = bound(dataset)
    for scene in dataset.scenes:
        results = transform(dict(scene))
        assert all(results[key] is value for key, value in scene.items())
    assert not dataset.loaded
    assert len(warnings_of_log) == 1
    assert 'repeat_threshold=0.3' in warnings_of_log[0]


def test_data_without_annotations_is_left_alone():
    dataset = SceneDataset([empty_scene(), empty_scene()])
    results = bound(dataset, source='uniform', head_keep=1.0)(empty_scene())
    assert len(results['gt_masks']) == 0


@pytest.mark.parametrize(
    'options',
    [
        dict(prob=1.5),
        dict(prob=-0.1),
        dict(prob='often'),
        dict(source='tail'),
        dict(max_sources=0),
        dict(max_sources=1.5),
        dict(repeat_threshold=-1),
        dict(head_keep=2),
        dict(paste_prob=-1),
        dict(max_pasted=0),
        dict(source_ratio_range=(1.5, 0.5)),
        dict(source_ratio_range=(0, 1)),
        dict(source_flip_prob=3),
        dict(box_shift=-1),
        dict(visible_area=float('nan')),
    ],
)
def test_options_out_of_range_are_refused_by_name(options):
    with pytest.raises(UserError, match=rf'BalancedCopyPaste\.{next(iter(options))}='):
        TRANSFORMS.build(dict(type='BalancedCopyPaste', **options))


def test_samples_that_cannot_be_mixed_are_refused():
    transform, scene = bound(), make_scenes()[0]
    with pytest.raises(UserError, match='gt_seg_map'):
        transform({**scene, 'gt_seg_map': np.zeros((72, 96), np.uint8)})
    polygons = PolygonMasks([[np.array([0.0, 0, 5, 0, 5, 5])]] * len(scene['gt_masks']), 72, 96)
    for masks in (polygons, None):
        np.random.seed(0)
        with pytest.raises(UserError, match='needs masks of pixels'):
            transform({**scene, 'gt_masks': masks})


def test_place_in_the_pipeline_is_checked():
    with pytest.raises(UserError, match='needs a data set that gives it other images'):
        BalancedCopyPaste()(empty_scene())
    with pytest.raises(UserError, match='must come after the loading of annotations'):
        BalancedCopyPaste().bind(SceneDataset(make_scenes()), ())
