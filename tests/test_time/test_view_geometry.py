import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose

from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.structures.bbox import HorizontalBoxes
from plugins.errors import UserError
from plugins.roi_heads.mask_maps import MaskMaps
from plugins.structures import EncodedMasks, paste_masks
from plugins.test_time.view_geometry import (
    average_maps,
    boxes_from_view,
    boxes_into_view,
    check_view,
    unflip_maps,
)

DIRECTIONS = (None, 'horizontal', 'vertical', 'diagonal')
HEIGHT, WIDTH = 60, 90

each_direction = pytest.mark.parametrize('direction', DIRECTIONS)


def _meta(direction, scale=(1.0, 1.0)):
    return dict(
        img_id=7,
        ori_shape=(HEIGHT, WIDTH),
        scale_factor=scale,
        flip=direction is not None,
        flip_direction=direction,
    )


def _random_boxes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([70.0, 45.0]) - 5
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=generator) * 40], 1)


@each_direction
@pytest.mark.parametrize('size', [(180, 120), (45, 30), (100, 100)])
def test_boxes_go_where_the_transforms_of_the_pipeline_put_them(direction, size):
    boxes = _random_boxes(6).clamp(min=0)
    flip = dict(type='RandomFlip', prob=float(direction is not None))
    pipeline = Compose(
        [
            dict(type='Resize', scale=size, keep_ratio=False, clip_object_border=False),
            dict(**flip, direction=direction or 'horizontal'),
        ]
    )
    seen = pipeline(
        dict(
            img=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
            ori_shape=(HEIGHT, WIDTH),
            gt_bboxes=HorizontalBoxes(boxes.clone()),
        )
    )
    found = boxes_into_view(boxes, seen)
    torch.testing.assert_close(found, seen['gt_bboxes'].tensor)
    torch.testing.assert_close(boxes_from_view(found, seen), boxes, rtol=0, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(DIRECTIONS), st.floats(0.1, 10), st.floats(0.1, 10), st.integers(0, 4))
def test_mapping_back_is_the_inverse_for_boxes_of_every_class(direction, w, h, classes):
    boxes = _random_boxes(5 * classes).reshape(5, 4 * classes)
    meta = _meta(direction, (w, h))
    there = boxes_into_view(boxes, meta)
    assert there.shape == boxes.shape
    torch.testing.assert_close(boxes_from_view(there, meta), boxes, rtol=0, atol=1e-4)


def test_unchanged_view_leaves_boxes_bit_by_bit():
    boxes = _random_boxes(5)
    assert torch.equal(boxes_into_view(boxes, _meta(None)), boxes)


@each_direction
def test_flip_of_maps_is_undone(direction):
    maps = torch.rand(3, 4, 5)
    steps = {None: (1, 1), 'horizontal': (1, -1), 'vertical': (-1, 1), 'diagonal': (-1, -1)}
    down, across = steps[direction]
    seen = torch.from_numpy(maps.numpy()[:, ::down, ::across].copy())
    assert torch.equal(unflip_maps(seen, _meta(direction)), maps)


def test_average_of_maps_takes_them_one_at_a_time():
    maps = torch.rand(5, 7, 28, 28)
    one_by_one = iter(list(maps))
    found = average_maps(MaskMaps(own, None) for own in one_by_one)
    torch.testing.assert_close(found.maps, maps.mean(0))
    assert found.ious is None
    single = average_maps([MaskMaps(maps[0].half(), None)])
    assert torch.equal(single.maps, maps[0].half().float())


def test_predicted_ious_are_averaged_with_the_maps():
    ious = torch.rand(3, 7)
    found = average_maps(MaskMaps(torch.rand(7, 2, 2), own) for own in ious)
    torch.testing.assert_close(found.ious, ious.mean(0))


def test_average_in_boxes_is_the_average_of_whole_images():
    """Masks are equal byte by byte, but for pixels that are a rounding error from the threshold."""
    generator = torch.Generator().manual_seed(0)
    boxes, metas = _random_boxes(40), [_meta(direction) for direction in DIRECTIONS]
    # Smooth maps, which the views see mirrored.
    coarse = torch.randn(len(metas), 40, 5, 5, generator=generator)
    maps = torch.nn.functional.interpolate(coarse, (28, 28), mode='bilinear').sigmoid()
    found = paste_masks(
        average_maps(
            MaskMaps(unflip_maps(own, meta), None) for own, meta in zip(maps, metas, strict=True)
        ).maps,
        boxes,
        HEIGHT,
        WIDTH,
    )
    whole = 0
    for seen, meta in zip(maps, metas, strict=True):
        image, _ = _do_paste_mask(
            seen[:, None], boxes_into_view(boxes, meta), HEIGHT, WIDTH, skip_empty=False
        )
        whole = whole + unflip_maps(image, meta)
    probabilities = whole / len(metas)
    expected = probabilities >= 0.5
    differs = found.to_tensor(torch.bool, 'cpu') != expected
    assert ((probabilities[differs] - 0.5).abs() < 1e-6).all()
    tied = differs.flatten(1).any(1)
    codes = EncodedMasks.from_bitmaps(expected).codes
    assert tied.sum() <= 2 and expected.flatten(1).any(1).sum() > 30
    for code, other, is_tied in itertools.zip_longest(found.codes, codes, tied.tolist()):
        assert is_tied or code == other


@pytest.mark.parametrize('key', ['ori_shape', 'scale_factor', 'flip', 'flip_direction'])
def test_view_that_does_not_say_how_it_was_made_is_refused(key):
    meta = _meta('horizontal')
    check_view(meta)
    del meta[key]
    with pytest.raises(UserError, match=rf'image 7.*{key}.*PackDetInputs'):
        check_view(meta)
