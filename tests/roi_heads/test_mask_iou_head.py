from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from plugins.errors import UserError
from plugins.roi_heads.mask_iou_head import LabelMaskIoUHead, iou_targets, shares_inside
from plugins.structures import CropMasks

SIZES = (14, 28, 56, 112)
SMALL = dict(in_channels=8, conv_out_channels=8, fc_out_channels=16, num_classes=4)
CONTAINERS = dict(crops=CropMasks.from_bitmaps, bitmaps=lambda m: BitmapMasks(m, *m.shape[1:]))

each_container = pytest.mark.parametrize('contain', CONTAINERS.values(), ids=CONTAINERS)


@pytest.fixture(scope='module')
def golden(shared):
    with np.load(shared / 'golden/models/maskiou_a.npz') as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays}


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = LabelMaskIoUHead(**SMALL)
    head.init_weights()
    return head


def _sampled(boxes, indices, labels):
    return SimpleNamespace(pos_priors=boxes, pos_assigned_gt_inds=indices, pos_gt_labels=labels)


def _batch_of(golden, contain):
    first = len(golden['boxes.0'])
    labels = golden['labels'].split([first, len(golden['labels']) - first])
    samples = [
        _sampled(golden[f'boxes.{i}'], golden[f'inds.{i}'], label) for i, label in enumerate(labels)
    ]
    objects = [InstanceData(masks=contain(golden[f'gt_masks.{i}'].numpy())) for i in (0, 1)]
    return samples, objects


def _golden_head(golden):
    head = LabelMaskIoUHead(
        in_channels=int(golden['channels']),
        conv_out_channels=int(golden['channels']),
        fc_out_channels=int(golden['fc_out_channels']),
        num_classes=int(golden['num_classes']),
    )
    head.load_state_dict({k[3:]: v for k, v in golden.items() if k.startswith('sd.')})
    return head


def test_prediction_is_that_of_stock(golden):
    found = _golden_head(golden)(golden['mask_feat'], golden['mask_logits'])
    torch.testing.assert_close(found, golden['iou_pred'])


@each_container
def test_targets_and_loss_are_those_of_stock_at_a_probability_of_one_half(golden, contain):
    samples, objects = _batch_of(golden, contain)
    shares = torch.cat(
        [
            shares_inside(s.pos_priors, s.pos_assigned_gt_inds, o.masks)
            for s, o in zip(samples, objects, strict=True)
        ]
    )
    torch.testing.assert_close(shares, golden['area_ratio'])
    targets = iou_targets(golden['mask_logits'], golden['mask_target'], shares)
    torch.testing.assert_close(targets, golden['iou_target.thr0.0'])
    assert (targets - golden['iou_target.thr0.5']).abs().max() > 0.01
    losses = _golden_head(golden).loss_and_target(
        golden['iou_pred'], golden['mask_logits'], golden['mask_target'], samples, objects
    )
    assert set(losses) == {'loss_mask_iou'}
    torch.testing.assert_close(losses['loss_mask_iou'], golden['loss.thr0.0'])


@each_container
def test_shares_are_stocks_for_any_box(contain):
    rng = np.random.default_rng(3)
    bitmaps = np.zeros((4, 40, 60), np.uint8)
    bitmaps[0, 3:20, 10:50] = rng.random((17, 40)) < 0.6
    bitmaps[1] = 1
    bitmaps[2, 39, 59] = 1  # and the last is empty
    corners = rng.uniform((-5, -5), (62, 42), (200, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 40, (200, 2))], 1).astype(np.float32)
    boxes = torch.from_numpy(boxes)
    boxes[:, 0::2].clamp_(0, 59)  # inside, as RoIs are; a box may end on its first pixel
    boxes[:, 1::2].clamp_(0, 39)
    objects = torch.from_numpy(rng.integers(0, 4, 200))
    expected = MaskIoUHead._get_area_ratio(None, boxes, objects, BitmapMasks(bitmaps, 40, 60))
    found = shares_inside(boxes, objects, contain(bitmaps))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    assert found.dtype == torch.float32 and 0.2 < (found > 0).float().mean() < 0.9


def test_box_beyond_the_frame_holds_nothing_of_an_object():
    bitmap = np.ones((1, 20, 30), np.uint8)
    bitmap[0, -3:, -3:] = 0
    boxes = torch.tensor([[40.0, 30.0, 50.0, 60.0], [-9.0, -9.0, 90.0, 90.0]])
    for contain in CONTAINERS.values():
        assert shares_inside(boxes, torch.zeros(2, dtype=torch.long), contain(bitmap)).tolist() == [
            0.0,
            1.0,
        ]


@pytest.mark.parametrize('size', SIZES)
def test_perfect_mask_of_a_whole_object_has_target_one(size):
    mask = torch.zeros(1, size, size)
    mask[0, 3 : size - 2, 2 : size // 2] = 1
    targets = iou_targets(mask * 9 - 4.5, mask, torch.ones(1))
    torch.testing.assert_close(targets, torch.ones(1))


@pytest.mark.parametrize('share', [0.25, 0.5])
def test_perfect_mask_of_a_part_has_its_share_as_target(share):
    bitmap = np.zeros((1, 40, 80), np.uint8)
    bitmap[0, 10:30, 20:60] = 1
    box = torch.tensor([[20.0, 10.0, 20.0 + 40 * share, 30.0]])
    shares = shares_inside(box, torch.zeros(1, dtype=torch.long), CropMasks.from_bitmaps(bitmap))
    inside = torch.ones(1, 28, 28)
    torch.testing.assert_close(iou_targets(inside, inside, shares), torch.tensor([share]))


def _one_object(count):
    bitmap = np.zeros((1, 64, 64), np.uint8)
    bitmap[0, 8:40, 8:40] = 1
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0]]).repeat(count, 1)
    zeros = torch.zeros(count, dtype=torch.long)
    return [_sampled(boxes, zeros, zeros + 1)], [InstanceData(masks=CropMasks.from_bitmaps(bitmap))]


def test_empty_and_missing_masks_do_not_train(head):
    """One mask is empty, one lies beside its object, one object has no pixel in the map."""
    samples, objects = _one_object(4)
    logits = torch.full((4, 28, 28), -1.0)
    logits[1, :, :14] = 1
    logits[3] = 1
    targets = torch.zeros(4, 28, 28)
    targets[:2, :, 14:] = 1
    targets[3] = 1
    predicted = torch.full((4, 4), 0.25, requires_grad=True)
    loss = head.loss_and_target(predicted, logits, targets, samples, objects)['loss_mask_iou']
    loss.backward()
    # Half the squared distance from 1 of the one that counts, at its label.
    assert loss.item() == pytest.approx(0.5 * 0.75**2, rel=1e-5)
    assert predicted.grad.nonzero().tolist() == [[3, 1]]


@pytest.mark.parametrize('size', [28, 112])
def test_without_rois_every_parameter_is_in_the_graph(head, size):
    samples, objects = _one_object(0)
    logits = torch.zeros(0, size, size)
    predicted = head(torch.zeros(0, 8, 14, 14), logits)
    assert predicted.shape == (0, 4)
    loss = head.loss_and_target(predicted, logits, logits, samples, objects)['loss_mask_iou']
    loss.backward()
    assert loss == 0 and all(p.grad is not None for p in head.parameters())
    assert head.rate(predicted, torch.zeros(0, dtype=torch.long)).shape == (0,)


def test_image_without_objects_adds_nothing(head):
    samples, objects = _one_object(2)
    empty = InstanceData(masks=CropMasks.from_bitmaps(np.zeros((0, 64, 64), np.uint8)))
    none = torch.zeros(0, dtype=torch.long)
    predicted, maps = torch.rand(2, 4), torch.ones(2, 28, 28)
    alone = head.loss_and_target(predicted, maps, maps, samples, objects)
    both = head.loss_and_target(
        predicted,
        maps,
        maps,
        [_sampled(torch.zeros(0, 4), none, none), *samples],
        [empty, *objects],
    )
    assert both['loss_mask_iou'] == alone['loss_mask_iou'] > 0


@pytest.mark.parametrize('size', SIZES)
def test_maps_of_any_size_are_pooled_to_the_largest_of_their_cells(head, size):
    torch.manual_seed(0)
    feats, logits = torch.randn(3, 8, 14, 14), torch.randn(3, size, size)
    if size < 28:
        shown = logits.repeat_interleave(2, 1).repeat_interleave(2, 2)
    else:
        shown = logits.unflatten(1, (28, -1)).unflatten(3, (28, -1)).amax((2, 4))
    expected = MaskIoUHead.forward(head, feats, shown)
    torch.testing.assert_close(head(feats, logits), expected)


def test_ratings_are_those_of_the_labels_between_zero_and_one(head):
    predicted = torch.tensor([[-0.5, 0.3, 1.4, 0.0], [0.6, -9.0, 0.1, 1.0]], dtype=torch.float16)
    rated = head.rate(predicted.repeat(2, 1), torch.tensor([0, 1, 2, 0]))
    expected = torch.tensor([0.0, 0.0, 1.0, 0.6])
    torch.testing.assert_close(rated, expected, rtol=1e-3, atol=0)
    assert rated.dtype == torch.float32


def test_head_that_predicts_one_leaves_scores_as_they_are(head):
    torch.nn.init.zeros_(head.fc_mask_iou.weight)
    torch.nn.init.ones_(head.fc_mask_iou.bias)
    predicted = head(torch.randn(5, 8, 14, 14), torch.randn(5, 112, 112))
    assert torch.equal(head.rate(predicted, torch.tensor([0, 1, 2, 3, 0])), torch.ones(5))


def test_loss_falls_to_the_targets_under_mixed_precision(head):
    torch.manual_seed(0)
    samples, objects = _one_object(6)
    feats = torch.randn(6, 8, 14, 14)
    targets = torch.ones(6, 28, 28)
    logits = torch.stack([torch.full((28, 28), -1.0) for _ in range(6)])
    for i in range(6):
        logits[i, : 4 * i + 4] = 1.0
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    for _ in range(80):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            predicted = head(feats, logits)
            loss = head.loss_and_target(predicted, logits, targets, samples, objects)
        assert loss['loss_mask_iou'].dtype == torch.float32
        optimizer.zero_grad()
        loss['loss_mask_iou'].backward()
        optimizer.step()
    wanted = torch.arange(1, 7) / 7
    found = head.rate(head(feats, logits), torch.ones(6, dtype=torch.long))
    assert (found - wanted).abs().max() < 0.1


def test_polygons_are_refused_with_the_way_out(head):
    square = [np.array([8.0, 8.0, 40.0, 8.0, 40.0, 40.0])]
    with pytest.raises(UserError, match='LoadCropAnnotations'):
        shares_inside(
            torch.zeros(1, 4), torch.zeros(1, dtype=torch.long), PolygonMasks([square], 64, 64)
        )


def test_head_is_built_from_a_config():
    assert isinstance(MODELS.build(dict(type='LabelMaskIoUHead', **SMALL)), LabelMaskIoUHead)


@pytest.mark.parametrize('num_boxes', [0, 1])
def test_boxes_may_have_the_type_that_autocast_leaves(num_boxes):
    masks = BitmapMasks(np.ones((1, 8, 8), np.uint8), 8, 8)
    boxes = torch.tensor([[0, 0, 4, 8]], dtype=torch.bfloat16)[:num_boxes]
    shares = shares_inside(boxes, torch.zeros(num_boxes, dtype=torch.long), masks)
    assert shares.dtype == torch.float32 and shares.tolist() == pytest.approx([0.5] * num_boxes)
