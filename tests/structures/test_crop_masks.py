import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from plugins.structures import CropMasks

MOST_OPERATIONS = 6
DIRECTIONS = ('horizontal', 'vertical', 'diagonal')


@pytest.fixture
def bitmaps():
    """Objects of all kinds: scattered, solid, a single pixel, the whole image, none."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 37, 53), np.uint8)
    masks[0, 5:20, 8:40] = rng.random((15, 32)) < 0.5
    masks[1, 20:37, 30:53] = 1
    masks[2, 0, 52] = 1
    masks[3] = 1
    masks[4, 3:9, 0:4] = rng.random((6, 4)) < 0.5
    return masks


@st.composite
def geometries(draw):
    """An operation of masks and its arguments, from the size at which it is reached."""
    name = draw(
        st.sampled_from(
            ('resize', 'rescale', 'flip', 'pad', 'crop', 'expand', 'translate', 'index', 'bilinear')
        )
    )
    small = st.integers(0, 25)
    return name, draw(st.tuples(small, small, small, small)), draw(st.sampled_from(DIRECTIONS))


def apply(masks, geometry):
    name, (a, b, c, d), direction = geometry
    if name == 'resize':
        return masks.resize((3 * a + 1, 3 * b + 1))
    if name == 'rescale':
        return masks.rescale((4 * a + 20, 4 * b + 20))
    if name == 'flip':
        return masks.flip(direction)
    if name == 'pad':
        return masks.pad((masks.height + a, masks.width + b), pad_val=int(c > 20))
    if name == 'crop':
        x, y = min(a, masks.width - 1), min(b, masks.height - 1)
        return masks.crop(np.array([x, y, x + 3 * c, y + 3 * d]))
    if name == 'expand':
        return masks.expand(masks.height + a + c, masks.width + b + d, c, d)
    if name == 'translate':
        axis = direction if direction != 'diagonal' else 'horizontal'
        return masks.translate((masks.height + a, masks.width + b), c - 12, axis)
    if name == 'bilinear':
        return masks.resize((a + 5, b + 5), 'bilinear')
    return masks[np.array([a, b, c]) % len(masks)] if len(masks) else masks


def assert_same(crops, bitmaps):
    assert isinstance(crops, CropMasks)
    assert (crops.height, crops.width) == (bitmaps.height, bitmaps.width)
    assert crops.to_ndarray().dtype == np.uint8
    np.testing.assert_array_equal(crops.to_ndarray(), bitmaps.to_ndarray())
    np.testing.assert_array_equal(crops.areas, bitmaps.areas)
    assert crops.areas.dtype == bitmaps.areas.dtype
    torch.testing.assert_close(
        crops.get_bboxes().tensor, bitmaps.get_bboxes('hbox').tensor, rtol=0, atol=0
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(geometries(), max_size=MOST_OPERATIONS), st.integers(0, 2**32 - 1))
def test_any_sequence_of_operations_gives_the_pixels_of_bitmaps(sequence, seed):
    rng = np.random.default_rng(seed)
    bitmaps = np.zeros((4, 24, 31), np.uint8)
    for bitmap in bitmaps[:3]:
        top, left = rng.integers(0, 20), rng.integers(0, 28)
        part = bitmap[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)]
        part[:] = rng.random(part.shape) < 0.7
    crops, stock = CropMasks.from_bitmaps(bitmaps), BitmapMasks(bitmaps, 24, 31)
    for geometry in sequence:
        crops, stock = apply(crops, geometry), apply(stock, geometry)
    assert_same(crops, stock)


@settings(max_examples=30, deadline=None)
@given(st.lists(geometries(), max_size=3))
def test_operations_on_no_objects_give_the_size_of_bitmaps(sequence):
    empty = np.zeros((0, 24, 31), np.uint8)
    crops, stock = CropMasks.from_bitmaps(empty), BitmapMasks(empty, 24, 31)
    for geometry in sequence:
        crops, stock = apply(crops, geometry), apply(stock, geometry)
    assert_same(crops, stock)


@pytest.mark.parametrize(
    'operation',
    [
        lambda masks: masks.rotate((37, 53), 30),
        lambda masks: masks.shear((37, 53), 0.3, 'vertical'),
        lambda masks: masks.translate((37, 53), 2.5),
        lambda masks: masks.translate((37, 53), 3, 'vertical', border_value=1),
        lambda masks: masks.resize((20, 90), interpolation='bicubic'),
        lambda masks: masks.rescale(1.7),
    ],
)
def test_what_rows_and_columns_cannot_say_is_left_to_bitmaps(bitmaps, operation):
    assert_same(operation(CropMasks.from_bitmaps(bitmaps)), operation(BitmapMasks(bitmaps, 37, 53)))


@pytest.mark.parametrize(
    'index',
    [
        2,
        -1,
        slice(1, 5, 2),
        [3, 3, 0],
        np.array([True, False, False, True, True, False]),
        np.zeros(0, np.int64),
        np.array(4),
        torch.tensor([5, 1]),
    ],
    ids=str,
)
def test_objects_are_chosen_as_from_an_array(bitmaps, index):
    crops, stock = CropMasks.from_bitmaps(bitmaps), BitmapMasks(bitmaps, 37, 53)
    assert_same(crops[index], stock[index])
    # The same from pixels that are computed and from ones that are not.
    shown, stock = crops.flip().resize((50, 20)), stock.flip().resize((50, 20))
    assert_same(shown[index], stock[index])


def test_an_index_out_of_range_is_an_error(bitmaps):
    with pytest.raises(IndexError):
        CropMasks.from_bitmaps(bitmaps)[6]


def test_it_is_a_bitmap_masks_with_all_its_views(bitmaps):
    crops = CropMasks.from_bitmaps(bitmaps)
    assert isinstance(crops, BitmapMasks)
    assert len(crops) == 6
    for mask, bitmap in zip(crops, bitmaps, strict=True):
        np.testing.assert_array_equal(mask, bitmap)
    tensor = crops.to_tensor(torch.float32, 'cpu')
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), bitmaps)
    assert repr(crops) == 'CropMasks(num_masks=6, height=37, width=53)'
    assert isinstance(crops.get_bboxes(HorizontalBoxes), HorizontalBoxes)
    assert len(CropMasks.random(4, 20, 30, rng=0)) == 4


def test_assigned_pixels_replace_all_objects(bitmaps):
    crops = CropMasks.from_bitmaps(bitmaps).flip()
    crops.masks = np.where(bitmaps[:2, :30], 0, 1)
    assert_same(crops, BitmapMasks(1 - bitmaps[:2, :30], 30, 53))


def test_writing_into_the_masks_is_an_error_and_into_copies_changes_nothing(bitmaps):
    crops = CropMasks.from_bitmaps(bitmaps)
    with pytest.raises(ValueError, match='read-only'):
        crops.masks[:] = 7
    crops.to_ndarray()[:] = 7
    next(iter(crops))[:] = 7
    np.testing.assert_array_equal(crops.masks, bitmaps)


def test_fractions_cannot_become_crops():
    with pytest.raises(ValueError, match='float32'):
        CropMasks.from_bitmaps(np.full((1, 4, 4), 0.5, np.float32))


@pytest.mark.parametrize('top_left', [(0, 0), (4, 9), (-6, -20), (30, 40), (100, 0), (-40, 0)])
def test_a_frame_is_placed_on_a_canvas(bitmaps, top_left):
    top, left = top_left
    canvas = np.zeros((6, 40, 60), np.uint8)
    for y in range(37):
        for x in range(53):
            if 0 <= y + top < 40 and 0 <= x + left < 60:
                canvas[:, y + top, x + left] = bitmaps[:, y, x]
    placed = CropMasks.from_bitmaps(bitmaps).place((40, 60), top, left)
    assert_same(placed, BitmapMasks(canvas, 40, 60))


def test_a_crop_outside_the_frame_keeps_the_objects_without_pixels(bitmaps):
    outside = CropMasks.from_bitmaps(bitmaps).crop(np.array([60, 5, 70, 9]))
    assert (len(outside), outside.height, outside.width) == (6, 4, 1)
    assert outside.areas.tolist() == [0] * 6
    assert outside.get_bboxes().tensor.tolist() == [[0] * 4] * 6


def test_frames_that_do_not_fit_are_an_error(bitmaps):
    crops = CropMasks.from_bitmaps(bitmaps)
    with pytest.raises(ValueError, match='does not fit'):
        crops.pad((30, 60))
    with pytest.raises(ValueError, match='does not fit'):
        crops.expand(60, 60, 30, 0)
    with pytest.raises(ValueError, match='flip_direction'):
        crops.flip('upwards')


def test_objects_of_several_containers_are_put_together(bitmaps):
    crops = CropMasks.from_bitmaps(bitmaps)
    stock = BitmapMasks(bitmaps, 37, 53)
    parts = [crops.flip(), stock, crops[:0], crops[2:4].flip('vertical')]
    expected = np.concatenate([bitmaps[:, :, ::-1], bitmaps, bitmaps[2:4, ::-1]])
    assert_same(CropMasks.cat(parts), BitmapMasks(expected, 37, 53))
    with pytest.raises(ValueError, match='one height and width'):
        CropMasks.cat([crops, crops.resize((10, 10))])
    with pytest.raises(ValueError, match='one height and width'):
        CropMasks.cat([])


def test_windows_outside_the_frame_are_not_shown():
    crop = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    masks = CropMasks.from_windows([(-2, 3, crop), (9, 9, crop)], 5, 6)
    expected = np.zeros((2, 5, 6), np.uint8)
    expected[0, 3:, :2] = crop[:2, 2:]
    np.testing.assert_array_equal(masks.masks, expected)
    assert masks.windows()[1][2].size == 0


def test_windows_show_every_pixel_and_are_computed_once(bitmaps):
    masks = CropMasks.from_bitmaps(bitmaps).flip('diagonal').resize((80, 20))
    canvas = np.zeros((6, 80, 20), np.uint8)
    for mask, (x, y, crop) in zip(canvas, masks.windows(), strict=True):
        mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    np.testing.assert_array_equal(canvas, masks.masks)
    assert masks.windows() is masks.windows()
    padded = masks.pad((90, 30))
    assert padded.windows()[0][2] is masks.windows()[0][2]


def test_copies_share_crops_but_not_the_container(bitmaps):
    masks = CropMasks.from_bitmaps(bitmaps)
    for copied in (copy.copy(masks), copy.deepcopy(masks)):
        assert copied.crops[0] is masks.crops[0]
        copied.masks = np.zeros((1, 3, 3), np.uint8)
        np.testing.assert_array_equal(masks.masks, bitmaps)


def test_pickled_masks_are_the_same(bitmaps):
    masks = CropMasks.from_bitmaps(bitmaps).flip().resize((70, 71)).pad((75, 80))
    assert_same(pickle.loads(pickle.dumps(masks)), BitmapMasks(masks.masks, 75, 80))


def test_memory_does_not_grow_with_the_image(bitmaps):
    masks = CropMasks.from_bitmaps(bitmaps[:3]).resize((3700, 5300)).pad((4000, 6000))
    assert sum(crop.nbytes for crop in masks.crops) < 37 * 53
    assert masks.rows.nbytes + masks.columns.nbytes == 4 * (4000 + 6000)


@pytest.mark.parametrize(
    'step',
    [
        dict(type='Resize', scale=(90, 60), keep_ratio=True),
        dict(type='FixShapeResize', width=90, height=60),
        dict(type='RandomFlip', prob=1.0, direction='diagonal'),
        dict(type='RandomCrop', crop_size=(30, 20), recompute_bbox=True, allow_negative_crop=True),
        dict(type='MinIoURandomCrop', min_ious=(0.1,), min_crop_size=0.3),
        dict(type='Expand', ratio_range=(1, 3), prob=1.0),
        dict(type='Pad', size_divisor=32),
        dict(type='Pad', size=(70, 60), pad_val=dict(img=3, masks=1)),
        dict(type='FilterAnnotations', min_gt_bbox_wh=(2, 2), by_mask=True, min_gt_mask_area=3),
        dict(type='Rotate', prob=1.0),
        dict(type='ShearX', prob=1.0),
        dict(type='TranslateY', prob=1.0),
    ],
    ids=lambda step: step['type'],
)
def test_steps_of_stock_take_it_in_place_of_bitmaps(bitmaps, step):
    init_default_scope('mmdet')
    stock_masks = BitmapMasks(bitmaps, 37, 53)
    for seed in range(3):
        found = []
        for masks in (CropMasks.from_bitmaps(bitmaps), stock_masks):
            np.random.seed(seed)
            sample = dict(
                img=np.zeros((37, 53, 3), np.uint8),
                img_shape=(37, 53),
                gt_masks=masks,
                gt_bboxes=HorizontalBoxes(stock_masks.get_bboxes('hbox').tensor.clone()),
                gt_bboxes_labels=np.arange(6),
                gt_ignore_flags=np.zeros(6, bool),
            )
            found.append(TRANSFORMS.build(step)(sample))
        ours, stock = found
        np.testing.assert_array_equal(ours['gt_bboxes_labels'], stock['gt_bboxes_labels'])
        np.testing.assert_array_equal(ours['gt_bboxes'].numpy(), stock['gt_bboxes'].numpy())
        np.testing.assert_array_equal(ours['gt_masks'].masks, stock['gt_masks'].masks)


@pytest.mark.parametrize('index', [torch.tensor([4, 0]), torch.arange(6) % 2 == 0, 3], ids=str)
def test_instance_data_is_indexed_and_put_together(bitmaps, index):
    ours = InstanceData(masks=CropMasks.from_bitmaps(bitmaps))
    stock = InstanceData(masks=BitmapMasks(bitmaps, 37, 53))
    assert_same(ours[index].masks, stock[index].masks)
    twice = (InstanceData.cat([data, data]) for data in (ours, stock))
    assert_same(*(data.masks for data in twice))
