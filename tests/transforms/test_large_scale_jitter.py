import copy

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import Compose

from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.structures import CropMasks
from plugins.transforms import LargeScaleJitter
from plugins.transforms.large_scale_jitter import jittered_image

SCALE = (96, 64)
PADDING = 7


def stock_chain(ratio_range):
    crop = dict(
        type='RandomCrop',
        crop_size=SCALE,
        crop_type='absolute',
        recompute_bbox=True,
        allow_negative_crop=True,
    )
    return Compose(
        [
            dict(type='RandomResize', scale=SCALE, ratio_range=ratio_range, keep_ratio=True),
            crop,
            dict(type='Pad', size=SCALE, pad_val=dict(img=PADDING, seg=255)),
        ]
    )


def draw_sample(seed, shape, container=CropMasks, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    bitmaps = np.zeros((4, *shape), np.uint8)
    for bitmap in bitmaps:
        top, left = rng.integers(0, shape[0] - 3), rng.integers(0, shape[1] - 3)
        bitmap[top : top + rng.integers(1, 40), left : left + rng.integers(1, 40)] = 1
    masks = BitmapMasks(bitmaps, *shape)
    return dict(
        img=rng.integers(0, 256, (*shape, 3), np.uint8).astype(dtype),
        img_shape=shape,
        ori_shape=shape,
        gt_bboxes=HorizontalBoxes(masks.get_bboxes('hbox').tensor.clone()),
        gt_bboxes_labels=np.arange(4),
        gt_ignore_flags=np.array([False, True, False, False]),
        gt_masks=CropMasks.from_bitmaps(bitmaps) if container is CropMasks else masks,
        gt_seg_map=rng.integers(0, 9, shape, np.uint8),
        gt_instances_ids=np.arange(4),
    )


def assert_same_samples(ours, stock):
    assert ours.keys() == stock.keys()
    for key, expected in stock.items():
        found = ours[key]
        if key == 'gt_masks':
            assert (found.height, found.width) == (expected.height, expected.width)
            found, expected = found.masks, expected.masks
        elif key == 'gt_bboxes':
            found, expected = found.numpy(), expected.numpy()
        assert type(found) is type(expected), key
        np.testing.assert_array_equal(found, expected, err_msg=key)
        assert getattr(found, 'dtype', None) == getattr(expected, 'dtype', None), key


# Images that fit, that are cut on one side, on both, and ones of the canvas' own shape.
@pytest.mark.parametrize('shape', [(48, 64), (90, 40), (30, 200), (64, 96), (301, 299)])
@pytest.mark.parametrize('ratio_range', [(0.1, 2.0), (1.0, 1.0), (1.5, 3.0)])
def test_samples_are_those_of_the_three_stock_steps(shape, ratio_range):
    ours = LargeScaleJitter(SCALE, ratio_range, pad_val=PADDING)
    stock = stock_chain(ratio_range)
    for seed in range(12):
        container = CropMasks if seed % 3 else BitmapMasks
        dtype = np.float32 if seed % 4 == 1 else np.uint8
        sample = draw_sample(seed, shape, container, dtype)
        np.random.seed(seed)
        expected = stock(copy.deepcopy(sample))
        following = np.random.random()
        np.random.seed(seed)
        assert_same_samples(ours(sample), expected)
        assert np.random.random() == following


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(st.integers(2, 400), st.integers(2, 400)),
    st.one_of(st.floats(0.98, 1.02), st.floats(0.1, 3)),
    st.integers(0, 2**32 - 1),
)
def test_what_is_computed_of_a_large_image_is_the_same_as_in_the_whole(shape, ratio, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    size = np.maximum((np.array(shape) * ratio).round().astype(int), 1)
    canvas = rng.integers(1, size + 1)
    top, left = rng.integers(0, size - canvas + 1)
    expected = cv2.resize(image, tuple(size[::-1].tolist()))
    found = jittered_image(image, tuple(size.tolist()), (top, left), tuple(canvas.tolist()), 0)
    np.testing.assert_array_equal(found, expected[top : top + canvas[0], left : left + canvas[1]])


def test_nothing_but_an_image_is_needed():
    image = draw_sample(0, (50, 70))['img']
    np.random.seed(3)
    expected = stock_chain((0.1, 2.0))(dict(img=image))
    np.random.seed(3)
    found = LargeScaleJitter(SCALE, pad_val=PADDING)(dict(img=image))
    np.testing.assert_array_equal(found['img'], expected['img'])
    assert found['img_shape'] == expected['img_shape'] == (64, 96)


def test_boxes_without_masks_and_earlier_geometry_are_carried_along():
    sample = draw_sample(1, (50, 70))
    del sample['gt_masks']
    sample['homography_matrix'] = np.array([[2, 0, 5], [0, 3, 1], [0, 0, 1]], np.float32)
    for seed in range(6):
        np.random.seed(seed)
        expected = stock_chain((0.5, 3.0))(copy.deepcopy(sample))
        np.random.seed(seed)
        found = LargeScaleJitter(SCALE, (0.5, 3.0), PADDING)(copy.deepcopy(sample))
        assert_same_samples(found, expected)


def test_the_given_image_is_not_written_to():
    sample = draw_sample(2, (50, 70))
    image = sample['img'].copy()
    before = sample['img']
    LargeScaleJitter(SCALE, (1.0, 1.0))(sample)['img'][:] = 0
    np.testing.assert_array_equal(before, image)


def test_an_image_without_objects_stays_without():
    sample = draw_sample(0, (50, 70))
    sample['gt_masks'] = CropMasks.from_windows([], 50, 70)
    sample['gt_bboxes'] = HorizontalBoxes(torch.zeros(0, 4))
    for key in ('gt_bboxes_labels', 'gt_ignore_flags', 'gt_instances_ids'):
        sample[key] = sample[key][:0]
    jittered = LargeScaleJitter(SCALE)(sample)
    assert len(jittered['gt_masks']) == len(jittered['gt_bboxes']) == 0
    assert (jittered['gt_masks'].height, jittered['gt_masks'].width) == (64, 96)


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (dict(scale=1024), 'scale'),
        (dict(scale=(1024, 0)), 'scale'),
        (dict(scale=(1024.5, 800)), 'scale'),
        (dict(scale=SCALE, ratio_range=(2.0, 0.1)), 'ratio_range'),
        (dict(scale=SCALE, ratio_range=(0, 1)), 'ratio_range'),
        (dict(scale=SCALE, ratio_range=2.0), 'ratio_range'),
        (dict(scale=SCALE, pad_val=256), 'pad_val'),
        (dict(scale=SCALE, pad_val='black'), 'pad_val'),
    ],
)
def test_arguments_out_of_range_are_errors_that_name_the_key(arguments, name):
    with pytest.raises(UserError, match=rf'LargeScaleJitter\.{name}'):
        LargeScaleJitter(**arguments)
