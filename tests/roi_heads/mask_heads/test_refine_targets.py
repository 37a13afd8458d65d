import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmdet.structures.mask import BitmapMasks, PolygonMasks
from plugins.roi_heads.mask_heads.refine_targets import (
    light_masks,
    semantic_targets,
    stage_targets,
)
from plugins.structures import CropMasks
from tests.tensor_memory import TensorMemory

SIZES = (14, 28, 56, 112)
CPU = torch.device('cpu')


def _bitmaps(count=5, height=80, width=100, seed=0):
    generator = np.random.default_rng(seed)
    bitmaps = np.zeros((count, height, width), np.uint8)
    for bitmap in bitmaps:
        y, x = generator.integers(0, (height - 20, width - 20))
        h, w = generator.integers(5, 60, 2)
        bitmap[y : y + h, x : x + w] = generator.random((h, w))[: height - y, : width - x] < 0.8
    return bitmaps


def _polygons(height=80, width=100):
    triangles = [[np.array([10.0, 10, 60, 15, 30, 70])], [np.array([50.0, 40, 99, 40, 99, 79])]]
    return PolygonMasks(triangles, height, width)


def _boxes(count, seed=0):
    """Some reach out of the image."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 80 - 15
    return torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 60], 1)


CONTAINERS = dict(
    crops=lambda: CropMasks.from_bitmaps(_bitmaps()),
    bitmaps=lambda: BitmapMasks(_bitmaps(), 80, 100),
    shares=lambda: BitmapMasks(_bitmaps() * np.float32(0.7), 80, 100),
    polygons=_polygons,
)


@pytest.mark.parametrize('container', CONTAINERS)
def test_targets_are_those_of_crop_and_resize_in_the_clipped_boxes(container):
    masks = CONTAINERS[container]()
    boxes, objects = _boxes(8), torch.arange(8) % len(masks)
    clipped = boxes.numpy().copy()
    clipped[:, 0::2] = clipped[:, 0::2].clip(0, 100)
    clipped[:, 1::2] = clipped[:, 1::2].clip(0, 80)
    before = boxes.clone()
    targets = stage_targets(light_masks(masks), boxes, objects, SIZES)
    assert torch.equal(boxes, before), 'mmdet clips the proposals themselves'
    for size, target in zip(SIZES, targets, strict=True):
        expected = masks.crop_and_resize(clipped, (size, size), objects.numpy()).to_ndarray()
        assert target.dtype == torch.float32 and target.any() and not target.all()
        assert np.array_equal(target.numpy(), expected)


def test_targets_are_those_of_the_authors(golden):
    for name in ('refinemask_lvis_a', 'refinemask_simple_a'):
        case = golden(name)
        parts = []
        for image in (0, 1):
            masks = CropMasks.from_bitmaps(case[f'gt_masks.{image}'].numpy())
            objects = case[f'assigned_gt_inds.{image}']
            parts.append(stage_targets(masks, case[f'boxes.{image}'], objects, SIZES))
        for stage, targets in enumerate(zip(*parts, strict=True)):
            assert torch.equal(torch.cat(targets), case[f'target.{stage}'].float())


@pytest.mark.parametrize('masks', [CropMasks.from_windows([], 8, 8), BitmapMasks([], 8, 8)])
def test_image_without_rois_has_no_targets(masks):
    targets = stage_targets(light_masks(masks), torch.zeros(0, 4), torch.zeros(0).long(), SIZES)
    assert [tuple(target.shape) for target in targets] == [(0, s, s) for s in SIZES]


@pytest.mark.parametrize('contain', [CropMasks.from_bitmaps, lambda b: BitmapMasks(b, 96, 128)])
def test_semantic_targets_are_those_of_the_authors(golden, contain):
    case = golden('refinemask_lvis_a')
    masks = [contain(case[f'gt_masks.{image}'].numpy()) for image in (0, 1)]
    found = semantic_targets(masks, (24, 32), 4, CPU)
    assert torch.equal(found[:, 0], case['semantic_target'].float())


@pytest.mark.parametrize('container', CONTAINERS)
def test_padding_of_a_semantic_target_is_empty(container):
    masks = CONTAINERS[container]()
    size, stride = (24, 40), 4
    bitmaps = masks.to_bitmap() if isinstance(masks, PolygonMasks) else masks
    canvas = np.zeros((1, 1, 96, 160), np.float32)
    canvas[0, 0, :80, :100] = (bitmaps.to_ndarray() != 0).any(0)
    expected = F.interpolate(torch.from_numpy(canvas), size, mode='bilinear') >= 0.5
    found = semantic_targets([masks], size, stride, CPU)
    assert torch.equal(found, expected.float())
    assert found.any() and not found[..., 20:, :].any() and not found[..., 25:].any()


def test_masks_larger_than_the_prediction_are_cut():
    bitmaps = np.ones((1, 50, 50), np.uint8)
    for masks in (CropMasks.from_bitmaps(bitmaps), BitmapMasks(bitmaps, 50, 50)):
        assert semantic_targets([masks], (8, 8), 4, CPU).all()


@pytest.mark.parametrize(
    'masks',
    [CropMasks.from_windows([], 64, 64), BitmapMasks([], 64, 64), PolygonMasks([], 64, 64)],
    ids=lambda masks: type(masks).__name__,
)
def test_image_without_objects_has_nothing_to_see(masks):
    found = semantic_targets([light_masks(masks)], (16, 16), 4, CPU)
    assert found.shape == (1, 1, 16, 16) and not found.any()


def test_memory_of_semantic_targets_does_not_grow_with_the_objects():
    peaks = []
    for count in (1, 40):
        masks = light_masks(BitmapMasks(_bitmaps(count), 80, 100))
        with TensorMemory() as memory:
            semantic_targets([masks], (20, 25), 4, CPU)
        peaks.append(memory.peak)
    assert peaks[0] == peaks[1]


def test_a_gpu_computes_what_a_cpu_computes(monkeypatch):
    """The branch for a GPU, which leaves the targets where they are computed."""
    masks, boxes, objects = CropMasks.from_bitmaps(_bitmaps()), _boxes(8), torch.arange(8) % 5
    expected = stage_targets(masks, boxes, objects, SIZES)
    monkeypatch.setattr(torch.Tensor, 'is_cuda', True, raising=False)
    monkeypatch.setattr(CropMasks, 'crop_and_resize', None)
    found = stage_targets(masks, boxes, objects, SIZES)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
