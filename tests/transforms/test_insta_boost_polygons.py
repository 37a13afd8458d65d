import copy

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

from mmdet.registry import TRANSFORMS
from plugins.errors import UserError
from plugins.transforms.insta_boost_motion import (
    Motion,
    bounds,
    draw_motion,
    move_polygons,
    overlapping_groups,
    paste_moved,
)
from plugins.transforms.insta_boost_polygons import InstaBoostPolygons

SHAPE = (120, 160)


def polygon_of(x, y, width, height):
    return [float(v) for v in (x, y, x + width, y, x + width, y + height, x, y + height)]


def record(x, y, width, height, label=0, *, ignore_flag=0, mask=None):
    mask = [polygon_of(x, y, width, height)] if mask is None else mask
    bbox = [x, y, x + width, y + height]
    return dict(bbox=bbox, bbox_label=label, ignore_flag=ignore_flag, mask=mask)


def bitmap(mask, shape=SHAPE):
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(mask, *shape))) > 0


def thinner(drawn, pixels):
    return cv2.erode(drawn.astype(np.uint8), np.ones((2 * pixels + 1,) * 2)) > 0


def thicker(drawn, pixels):
    return cv2.dilate(drawn.astype(np.uint8), np.ones((2 * pixels + 1,) * 2)) > 0


def results_of(*instances):
    """An even background with each object in an even colour of its own."""
    image = np.full((*SHAPE, 3), 100, np.uint8)
    for number, instance in enumerate(instances):
        mask = instance['mask']
        polygons = [p for p in mask if len(p) >= 6] if isinstance(mask, list) else []
        if polygons:
            image[bitmap(polygons)] = (200, (20 + 100 * number) % 256, 10)
    return dict(img=image, instances=list(instances), img_path='a.jpg')


def boosted(results, seed=0, **options):
    np.random.seed(seed)
    return InstaBoostPolygons(**{'prob': 1.0, **options})(copy.deepcopy(results))


def test_masks_and_boxes_follow_the_pixels():
    scene = results_of(record(30, 30, 40, 30), record(100, 60, 30, 36, label=1))
    for seed in range(20):
        after = boosted(scene, seed, shift_divisor=2)
        assert after['img'].dtype == np.uint8 and after['img'].shape == scene['img'].shape
        for number, instance in enumerate(after['instances']):
            colour = np.array([200, 20 + 100 * number, 10])
            seen = (np.abs(after['img'].astype(int) - colour) < 25).all(axis=2)
            drawn = bitmap(instance['mask'])
            # The pixels of the edge are between both colours.
            assert seen[thinner(drawn, 1)].all() and not seen[~thicker(drawn, 1)].any()
            x, y, width, height = mask_api.toBbox(
                mask_api.encode(np.asfortranarray(drawn, dtype=np.uint8))
            )
            expected = [x, y, x + width, y + height]
            np.testing.assert_allclose(instance['bbox'], expected, atol=1.0)


def test_what_an_object_leaves_looks_like_the_background():
    scene = results_of(record(60, 40, 40, 40))
    after = boosted(scene, 1, shift_divisor=1, scale_range=(0.8, 0.8))
    instance = after['instances'][0]
    near = thicker(bitmap(instance['mask']), 2)
    assert (np.abs(after['img'][~near].astype(int) - 100) <= 2).all()
    assert (bitmap(scene['instances'][0]['mask']) & ~near).any()


def test_objects_whose_boxes_overlap_move_together():
    scene = results_of(record(50, 30, 30, 30), record(70, 50, 30, 30), record(120, 90, 20, 10))
    before = [np.array(i['mask'][0]) for i in scene['instances']]
    after = [np.array(i['mask'][0]) for i in boosted(scene, 3, shift_divisor=3)['instances']]
    to_second = before[1].reshape(-1, 2) - before[0].reshape(-1, 2)
    moved = after[1].reshape(-1, 2) - after[0].reshape(-1, 2)
    scale = np.linalg.norm(after[0][2:4] - after[0][:2]) / 30
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), scale * np.linalg.norm(to_second[0]))
    assert not np.allclose(after[2], before[2])


def test_crowds_codes_and_empty_masks_stay_and_nothing_covers_a_fixed_object():
    still = np.zeros(SHAPE, np.uint8)
    still[40:60, 80:110] = 1
    code = mask_api.encode(np.asfortranarray(still))
    fixed = [
        record(80, 40, 30, 20, label=1, mask=code),
        record(0, 0, 90, 90, label=2, ignore_flag=1),
        record(10, 100, 8, 8, label=3, mask=[]),
        record(10, 100, 8, 8, label=4, mask=[[1.0, 2.0, 3.0, 4.0]]),
    ]
    scene = results_of(record(50, 30, 30, 30), *fixed)
    scene['img'][still > 0] = (0, 255, 0)
    moved = 0
    for seed in range(10):
        after = boosted(scene, seed, shift_divisor=1)
        assert after['instances'][1:] == scene['instances'][1:]
        assert (after['img'][still > 0] == (0, 255, 0)).all()
        moved += after['instances'][0] != scene['instances'][0]
    assert moved > 5


def test_number_order_and_labels_of_objects_are_kept():
    rng = np.random.default_rng(0)
    for seed in range(15):
        corners = rng.integers(-10, 150, size=(8, 2)).tolist()
        sizes = rng.integers(1, 40, size=(8, 2)).tolist()
        scene = results_of(*(record(*corners[n], *sizes[n], label=n) for n in range(8)))
        after = boosted(scene, seed, shift_divisor=1)['instances']
        assert [i['bbox_label'] for i in after] == list(range(8))
        for old, new in zip(scene['instances'], after, strict=True):
            if new['mask'] != old['mask']:
                assert min(np.subtract(new['bbox'][2:], new['bbox'][:2])) >= 1


@pytest.mark.parametrize(('x', 'y'), [(0, 50), (130, 50), (60, 0), (60, 95)])
def test_at_a_border_an_object_is_not_shrunk_turned_or_moved_away(x, y):
    box = np.array([x, y, x + 30, y + 25], dtype=float)
    for seed in range(50):
        np.random.seed(seed)
        motion = draw_motion(box, SHAPE, shift_divisor=2, scale_range=(0.8, 1.2), max_degrees=1.0)
        assert motion.scale >= 1 and motion.degrees == 0
        after = bounds(move_polygons([polygon_of(x, y, 30, 25)], motion), SHAPE)
        touches = box == [0, 0, SHAPE[1], SHAPE[0]]
        assert (after[touches] == box[touches]).all()


def test_motions_have_the_documented_range():
    np.random.seed(0)
    box = np.array([50.0, 40, 95, 70])
    drawn = [
        draw_motion(box, SHAPE, shift_divisor=15, scale_range=(0.8, 1.2), max_degrees=1.0)
        for _ in range(400)
    ]
    shifts = np.array([motion.shift for motion in drawn])
    assert shifts.min(axis=0).tolist() == [-3, -2] and shifts.max(axis=0).tolist() == [3, 2]
    scales = [motion.scale for motion in drawn]
    assert 0.8 <= min(scales) < 0.82 and 1.18 < max(scales) <= 1.2
    assert -1 <= min(m.degrees for m in drawn) < -0.9 and 0.9 < max(m.degrees for m in drawn) <= 1


def test_pasted_pixels_lie_where_the_moved_polygon_is():
    """Sub-pixel: the mean position of the pasted mask is that of the polygon."""
    polygon = polygon_of(40, 30, 50, 40)
    mask = bitmap([polygon]).astype(np.uint8) * 255
    image = np.full((*SHAPE, 3), 255, np.uint8)
    motion = Motion(centre=(65.0, 50.0), shift=(7, -4), scale=1.13, degrees=5.0)
    canvas = np.zeros_like(image)
    paste_moved(canvas, image, mask, motion, np.zeros(SHAPE, bool))
    weight = canvas[..., 0].astype(float)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    middle = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(middle, (72, 46), atol=0.02)
    assert weight.sum() / 255 == pytest.approx(50 * 40 * 1.13**2, rel=0.01)
    inside = bitmap(move_polygons([polygon], motion))
    assert (canvas[thinner(inside, 1)] == 255).all()


def test_groups_are_chains_of_overlapping_boxes():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [8, 0, 22, 5], [30, 0, 40, 10]])
    groups = sorted(group.tolist() for group in overlapping_groups(boxes))
    assert groups == [[0, 1, 2], [3]]  # boxes that only touch do not overlap


def test_same_random_state_gives_the_same_sample_and_another_one_another():
    scene = results_of(record(30, 30, 40, 30), record(100, 60, 30, 36))
    first, again, other = boosted(scene, 1), boosted(scene, 1), boosted(scene, 2)
    assert (first['img'] == again['img']).all() and first['instances'] == again['instances']
    assert (first['img'] != other['img']).any()


def test_probability_decides_and_the_inputs_are_never_changed():
    scene = results_of(record(30, 30, 40, 30))
    image, instances = scene['img'].copy(), copy.deepcopy(scene['instances'])
    changed = 0
    for seed in range(60):
        np.random.seed(seed)
        after = InstaBoostPolygons(prob=0.5, shift_divisor=2)(dict(scene))
        changed += after['instances'] != instances
        assert (scene['img'] == image).all() and scene['instances'] == instances
    assert 15 < changed < 45
    assert boosted(scene, prob=0.0)['instances'] == instances


@pytest.mark.parametrize('instances', [[], [record(5, 5, 20, 20, ignore_flag=1)]])
def test_images_without_movable_objects_are_left_alone(instances):
    scene = results_of(*instances)
    after = boosted(scene)
    assert (after['img'] == scene['img']).all() and after['instances'] == scene['instances']


def test_more_than_255_objects_leave_no_trace_of_themselves():
    # An 8-bit map of object numbers would forget the 256th.
    places = [(2 + 8 * (n % 19), 2 + 7 * (n // 19)) for n in range(300)]
    scene = results_of(*(record(x, y, 4, 4) for x, y in places))
    scene['img'][scene['img'][..., 2] == 10] = (255, 0, 0)
    after = boosted(scene, scale_range=(0.5, 0.5))
    far = ~thicker(np.any([bitmap(i['mask']) for i in after['instances']], axis=0), 1)
    assert (np.abs(after['img'][far].astype(int) - 100) <= 3).all()


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('prob', 1.5),
        ('prob', '0.5'),
        ('shift_divisor', 0),
        ('scale_range', (1.2, 0.8)),
        ('scale_range', 1.2),
        ('max_degrees', -1),
        ('max_degrees', float('nan')),
    ],
)
def test_a_wrong_option_is_named(option, value):
    with pytest.raises(UserError, match=f'InstaBoostPolygons.{option}='):
        InstaBoostPolygons(**{option: value})


@pytest.mark.parametrize(
    'change',
    [
        dict(img=np.zeros((8, 8, 3), np.float32)),
        dict(img=np.zeros((8, 8), np.uint8)),
        dict(gt_masks=1),
    ],
    ids=['float', 'gray', 'loaded'],
)
def test_a_wrong_place_in_the_pipeline_is_named(change):
    with pytest.raises(UserError, match='right after LoadImageFromFile'):
        InstaBoostPolygons()({**results_of(), **change})


def test_the_stock_loader_accepts_what_comes_out():
    steps = [
        dict(type='InstaBoostPolygons', prob=1.0),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    ]
    results = results_of(record(30, 30, 40, 30, label=3), record(100, 60, 30, 36, label=1))
    results.update(height=SHAPE[0], width=SHAPE[1], img_shape=SHAPE, ori_shape=SHAPE)
    np.random.seed(0)
    for step in steps:
        results = TRANSFORMS.build(step)(results)
    assert results['gt_bboxes_labels'].tolist() == [3, 1]
    masks = results['gt_masks']
    expected = [bitmap(i['mask']) for i in results['instances']]
    assert (masks.to_ndarray() == expected).all()
