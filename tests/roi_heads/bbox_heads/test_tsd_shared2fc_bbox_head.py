import copy

import pytest
import torch
from torch.nn import functional as F

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from plugins.errors import UserError
from plugins.layers import deformable_roi_sampling
from tests.losses.test_classification_loss import LOSSES
from tests.roi_heads.bbox_heads.tsd import (
    CHANNELS,
    NUM_CLASSES,
    SOFTMAX,
    STRIDES,
    TRAIN_CFG,
    read_golden,
    roi_features,
    run,
    sampled,
    seen_pyramid,
    train,
    tsd_head,
)
from tests.steps import without_gradient
from tests.tensor_memory import TensorMemory

SEESAW = dict(type='SyncSeesawLoss')
SIBLING = {'shared_fcs', 'fc_cls', 'fc_reg'}
WITH_SOFTMAX = ('softmax', 'focal', 'margin', 'inverse-frequency')


def _load_golden(shared):
    golden = read_golden(shared, 'tsd_head_a')
    head = MODELS.build(
        dict(
            type='TSDShared2FCBBoxHead',
            in_channels=4,
            fc_out_channels=int(golden['fc_out_channels']),
            num_classes=int(golden['num_classes']),
            loss_cls=dict(type='CrossEntropyLoss'),
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', clip_border=False),
        )
    )
    weights = {key[3:]: value for key, value in golden.items() if key.startswith('sd.')}
    head.load_state_dict(weights, strict=True)
    return golden, head, tuple(golden[f'feat.{level}'] for level in range(4))


@pytest.mark.parametrize('training', [True, False])
def test_published_head_has_the_same_outputs(shared, training):
    golden, head, x = _load_golden(shared)
    head.train(training)
    sibling = []
    head.fc_cls.register_forward_hook(lambda *call: sibling.append(call[-1]))
    head.fc_reg.register_forward_hook(lambda *call: sibling.append(call[-1]))
    with head.seeing_pyramid(x, golden['rois']):
        logits, deltas = head(golden['bbox_feats'])
    torch.testing.assert_close(logits, golden['tsd_cls_score'], atol=1e-4, rtol=0)
    decode = head.bbox_coder.decode
    boxes = decode(golden['rois'][:, 1:], deltas)
    expected = decode(golden['rois_r'][:, 1:], golden['tsd_bbox_pred'])
    torch.testing.assert_close(boxes, expected, atol=1e-3, rtol=1e-5)
    assert len(sibling) == 2 * training
    for found, name in zip(sibling, ('cls_score', 'bbox_pred'), strict=False):
        torch.testing.assert_close(found, golden[name], atol=1e-4, rtol=0)


def _read_bilinear(features, points):
    """Values, float (C, P), of a (C, h, w) map at float (P, 2) x, y, as RoIAlign reads them."""
    height, width = features.shape[1:]
    grid = 2 * points / torch.tensor([width - 1, height - 1]) - 1
    values = F.grid_sample(
        features[None], grid[None, None], padding_mode='border', align_corners=True
    )[0, :, 0]
    inside = (points >= -1).all(1) & (points <= torch.tensor([width, height])).all(1)
    return values * inside


def _pool_by_grid_sample(x, rois, offset, gamma=0.1, ratio=2):
    """Pool every RoI on its own, float (R, C, 7, 7), from offsets of bins, float (R, 2, 7, 7)."""
    levels = SingleRoIExtractor(
        roi_layer=dict(type='RoIAlign', output_size=7), out_channels=4, featmap_strides=STRIDES
    ).map_roi_levels(rois, 4)
    step = (torch.arange(7 * ratio) + 0.5) / (7 * ratio)
    unit = torch.stack(torch.meshgrid(step, step, indexing='xy'), dim=-1)
    pooled = []
    for roi, level, shift in zip(rois, levels, offset, strict=True):
        stride = STRIDES[level]
        size = (roi[3:] - roi[1:3]) / stride
        shift = shift.permute(1, 2, 0).repeat_interleave(ratio, 0).repeat_interleave(ratio, 1)
        points = roi[1:3] / stride - 0.5 + (unit + gamma * shift) * size
        values = _read_bilinear(x[level][int(roi[0])], points.view(-1, 2))
        pooled.append(F.avg_pool2d(values.view(-1, 7 * ratio, 7 * ratio), ratio))
    return torch.stack(pooled)


def _stack(layers, x):
    for layer in layers:
        x = layer(x).relu()
    return x


def test_outputs_and_all_gradients_of_the_equations():
    head = tsd_head(reg_class_agnostic=True)
    other = copy.deepcopy(head)
    logits, deltas, rois = run(head, sampled())
    x, feats = seen_pyramid(), roi_features(len(rois)).flatten(1)
    hidden = other.shared_fc(feats)
    by_bin, as_whole = other.delta_c(hidden).view(-1, 2, 7, 7), other.delta_r(hidden)
    cls_feats = _stack(other.TSD_pc_fcs, _pool_by_grid_sample(x, rois, by_bin).flatten(1))
    offset = as_whole[:, :, None, None].expand_as(by_bin)
    loc_feats = _stack(other.TSD_pr_fcs, _pool_by_grid_sample(x, rois, offset).flatten(1))
    moved = rois[:, 1:] + 0.1 * ((rois[:, 3:] - rois[:, 1:3]) * as_whole).repeat(1, 2)
    expected_logits = other.TSD_fc_cls(cls_feats)
    decode = head.bbox_coder.decode
    expected_boxes = decode(moved, other.TSD_fc_reg(loc_feats))
    boxes = decode(rois[:, 1:], deltas)
    torch.testing.assert_close(logits, expected_logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(boxes, expected_boxes, atol=1e-3, rtol=1e-5)
    (logits.square().sum() * 100 + boxes.square().mean()).backward()
    (expected_logits.square().sum() * 100 + expected_boxes.square().mean()).backward()
    wanted = dict(other.named_parameters())
    for name, parameter in head.named_parameters():
        if name.split('.')[0] in SIBLING:
            assert parameter.grad is None
        else:
            assert parameter.grad.any(), name
            torch.testing.assert_close(
                parameter.grad, wanted[name].grad, atol=1e-4, rtol=1e-3, msg=name
            )


@torch.no_grad()
def _stop_looking_aside(head):
    for layer in (head.delta_c[-1], head.delta_r[-1]):
        layer.weight.zero_()
        layer.bias.zero_()


@torch.no_grad()
def test_without_offsets_and_with_the_weights_of_the_sibling_it_is_the_sibling():
    head = tsd_head(reg_class_agnostic=True).train()
    _stop_looking_aside(head)
    for own, other in (
        (head.TSD_pc_fcs, head.shared_fcs),
        (head.TSD_pr_fcs, head.shared_fcs),
        (head.TSD_fc_cls, head.fc_cls),
        (head.TSD_fc_reg, head.fc_reg),
    ):
        own.load_state_dict(other.state_dict())
    x, rois = seen_pyramid(), bbox2roi([r.priors for r in sampled()])
    roi_layer = dict(type='RoIAlign', output_size=7, sampling_ratio=2)
    extractor = SingleRoIExtractor(
        roi_layer=roi_layer, out_channels=CHANNELS, featmap_strides=STRIDES
    )
    with head.seeing_pyramid(x, rois):
        found = head(extractor(x, rois))
    plain = MODELS.build(
        dict(
            type='Shared2FCBBoxHead',
            in_channels=CHANNELS,
            fc_out_channels=16,
            num_classes=NUM_CLASSES,
            reg_class_agnostic=True,
        )
    )
    plain.load_state_dict(head.state_dict(), strict=False)
    for value, expected in zip(found, plain(extractor(x, rois)), strict=True):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_context_is_added_to_what_the_head_pools():
    head = tsd_head().eval()
    results = sampled((2, 1))
    pooled = []
    for layer in (head.TSD_pc_fcs[0], head.TSD_pr_fcs[0]):
        layer.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    run(head, results)
    context = torch.arange(2 * CHANNELS).view(2, CHANNELS).float()
    *_, rois = run(head, results, context=context)
    added = context[rois[:, 0].long()].repeat_interleave(49, dim=1)
    for plain, found in zip(pooled[:2], pooled[2:], strict=True):
        torch.testing.assert_close(found - plain, added)


@pytest.mark.parametrize('agnostic', [True, False])
def test_losses_are_those_of_stock_and_of_the_sibling_alone(agnostic):
    head = tsd_head(reg_class_agnostic=agnostic, loss_bbox=dict(type='L1Loss')).train()
    results = sampled()
    logits, deltas, rois = run(head, results)
    found = head.loss_and_target(logits, deltas, rois, results, TRAIN_CFG)['loss_bbox']
    plain = MODELS.build(
        dict(
            type='Shared2FCBBoxHead',
            in_channels=CHANNELS,
            fc_out_channels=16,
            num_classes=NUM_CLASSES,
            reg_class_agnostic=agnostic,
            loss_cls=SOFTMAX,
            loss_bbox=dict(type='L1Loss'),
        )
    )
    plain.load_state_dict(head.state_dict(), strict=False)
    sibling = plain(roi_features(len(rois)))
    own, other = (
        plain.loss_and_target(*outputs, rois, results, TRAIN_CFG)['loss_bbox']
        for outputs in ((logits, deltas), sibling)
    )
    for name in ('loss_cls', 'loss_bbox'):
        torch.testing.assert_close(found[name], own[name])
        torch.testing.assert_close(found[f'{name}_sibling'], other[name])
    assert set(found) - set(own) == {
        'loss_cls_sibling',
        'loss_bbox_sibling',
        'loss_pc_cls',
        'loss_pc_loc',
    }


def test_box_loss_moves_the_translation():
    head = tsd_head(pc_cls=False, pc_loc=False).train()
    results = sampled()
    logits, deltas, rois = run(head, results)
    found = head.loss_and_target(logits, deltas, rois, results, TRAIN_CFG)['loss_bbox']
    found['loss_bbox'].backward()
    assert head.delta_r[-1].weight.grad.any()
    assert not head.delta_c[-1].weight.grad.any()


def _decoded(head, rois, deltas, labels):
    """Boxes of the labels, one RoI after the other."""
    boxes = []
    for roi, delta, label in zip(rois, deltas, labels, strict=True):
        own = delta.view(-1, 4)[0 if head.reg_class_agnostic else int(label)]
        boxes.append(head.bbox_coder.decode(roi[None, 1:], own[None]))
    return torch.cat(boxes)


@pytest.mark.parametrize('agnostic', [True, False])
def test_localization_constraint_compares_the_boxes_of_the_labels(agnostic):
    head = tsd_head(reg_class_agnostic=agnostic, margin=0.2).train()
    results = sampled((3, 0, 2), negatives=4)
    logits, deltas, rois = run(head, results)
    sibling = head._sibling_outputs[1]
    found = head.loss_and_target(logits, deltas, rois, results, TRAIN_CFG)['loss_bbox']
    rows = [0, 1, 2, 11, 12]
    labels = torch.cat([r.pos_gt_labels for r in results])
    objects = torch.cat([r.pos_gt_bboxes for r in results])
    ious = []
    for outputs in (deltas, sibling):
        boxes = _decoded(head, rois[rows], outputs[rows], labels)
        wh = torch.min(boxes[:, 2:], objects[:, 2:]) - torch.max(boxes[:, :2], objects[:, :2])
        both = wh.clamp(min=0).prod(1)
        sizes = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, objects)]
        ious.append(both / (sum(sizes) - both))
    own, other = ious
    expected = torch.relu(other + (1 - other).clamp(max=0.2) - own).sum() / 6
    assert expected > 0
    torch.testing.assert_close(found['loss_pc_loc'], expected)


def test_constraints_are_switched_one_by_one():
    for pc_cls in (True, False):
        for pc_loc in (True, False):
            losses = train(tsd_head(pc_cls=pc_cls, pc_loc=pc_loc), sampled())
            assert ('loss_pc_cls' in losses, 'loss_pc_loc' in losses) == (pc_cls, pc_loc)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('predictor', ['Linear', 'NormalizedLinear'])
def test_every_loss_trains_both_classifiers_and_starts_both_from_its_prior(name, predictor):
    has_softmax = name in WITH_SOFTMAX
    options = dict(cls_predictor_cfg=dict(type=predictor), pc_cls=has_softmax)
    head = tsd_head(LOSSES[name], **options)
    prior = head.loss_cls.prior_bias()
    bias = head.TSD_fc_cls.bias
    assert torch.equal(bias, torch.zeros_like(bias) if prior is None else prior)
    assert type(head.TSD_fc_cls) is type(head.fc_cls) is MODELS.get(predictor)
    losses = train(head, sampled())
    assert ('loss_pc_cls' in losses) == has_softmax
    own = {key for key in losses if key.startswith('loss_cls') and 'sibling' not in key}
    assert own and {f'{key}_sibling' for key in own} <= set(losses)
    assert without_gradient(head) == []
    assert all(value.isfinite() for value in losses.values())
    logits, *_ = run(head.eval(), sampled())
    assert head.loss_cls.get_activation(logits).shape == (21, NUM_CLASSES + 1)


@pytest.mark.parametrize(
    'loss',
    [
        *(LOSSES[name] for name in LOSSES if name not in WITH_SOFTMAX),
        dict(type='CrossEntropyLoss', use_sigmoid=True),
        dict(type='SeesawLoss', num_classes=NUM_CLASSES),
    ],
    ids=lambda loss: loss['type'],
)
def test_constraint_on_classes_without_a_softmax_is_one_error(loss):
    with pytest.raises(UserError, match=rf'pc_cls=True.*{loss["type"]}.*set pc_cls=False'):
        tsd_head(loss, pc_cls=True)
    tsd_head(loss, pc_cls=False)


def test_classes_are_counted_once_per_roi_by_each_classifier():
    head = tsd_head(SEESAW, pc_cls=False)
    results = sampled((4, 0, 2), negatives=5)
    for _ in range(2):
        train(head, results)
    labels = torch.cat([r.pos_gt_labels for r in results])
    expected = 2 * torch.bincount(labels, minlength=NUM_CLASSES + 1)
    expected[-1] = 2 * 15
    assert torch.equal(head.loss_cls.cum_samples, expected)
    assert torch.equal(head.sibling_loss_cls.cum_samples, expected)


def test_sibling_rests_in_a_test_and_where_it_is_frozen():
    results = sampled()
    head = tsd_head()
    calls = []
    for name in SIBLING:
        for layer in getattr(head, name).modules():
            layer.register_forward_pre_hook(lambda *call: calls.append(call))
    run(head.eval(), results)
    assert calls == []
    for name in SIBLING:
        getattr(head, name).requires_grad_(False)
    losses = train(head, results)
    assert calls == [] and set(losses) == {'loss_cls', 'acc_classes', 'loss_bbox'}


def test_outputs_of_the_sibling_are_let_go():
    head = tsd_head()
    train(head, sampled())
    assert head._sibling_outputs is None
    head.train()
    run(head, sampled())
    run(head.eval(), sampled())
    assert head._sibling_outputs is None


def test_image_without_positives_trains_everything():
    head = tsd_head()
    losses = train(head, sampled((0,)))
    assert losses['loss_pc_cls'] == losses['loss_pc_loc'] == losses['loss_bbox'] == 0
    assert losses['loss_cls'] > 0
    assert without_gradient(head) == []


@pytest.mark.parametrize('loss', [SOFTMAX, SEESAW, dict(type='CrossEntropyLoss')])
def test_no_roi_gives_finite_zeros_and_a_gradient_for_everything(loss):
    head = tsd_head(loss, pc_cls=loss != SEESAW)
    losses = train(head, sampled((0, 0), negatives=0))
    assert all(value == 0 for name, value in losses.items() if 'loss' in name)
    assert without_gradient(head) == []
    logits, deltas, _ = run(head.eval(), sampled((0,), negatives=0))
    assert logits.shape == (0, head.TSD_fc_cls.out_features)
    assert deltas.shape == (0, 4 * NUM_CLASSES)


def test_every_level_gets_a_gradient_whichever_is_looked_at():
    head = tsd_head().train()
    x = [level.requires_grad_() for level in seen_pyramid(1)]
    rois = torch.tensor([[0, 4.0, 4.0, 30.0, 30.0]])
    with head.seeing_pyramid(tuple(x), rois):
        logits, deltas = head(roi_features(1))
    (logits.sum() + deltas.sum()).backward()
    assert [level.grad is not None and bool(level.grad.any()) for level in x] == [True] + 3 * [
        False
    ]
    assert all(level.grad is not None for level in x)


@torch.no_grad()
@pytest.mark.parametrize('chunk', [1, 4, 1000])
def test_chunks_change_nothing(chunk):
    results = sampled()
    expected = run(tsd_head().eval(), results)
    for found, value in zip(run(tsd_head(roi_chunk=chunk).eval(), results), expected, strict=True):
        torch.testing.assert_close(found, value, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_memory_of_a_test_does_not_grow_with_the_rois():
    peaks = []
    head = tsd_head(roi_chunk=20).eval()
    for count in (40, 400):
        results = sampled((0,), negatives=count)
        rois, feats = bbox2roi([results[0].priors]), roi_features(count)
        with TensorMemory() as memory, head.seeing_pyramid(seen_pyramid(1), rois):
            head(feats)
        peaks.append(memory.peak)
    # What is returned grows.
    returned = 4 * 360 * (NUM_CLASSES + 1 + 4 * NUM_CLASSES)
    assert peaks[1] - peaks[0] <= 3 * returned < 0.2 * peaks[0]


def test_half_precision_keeps_coordinates_in_float32(monkeypatch):
    results, head = sampled(), tsd_head().train()
    expected = train(head, results)
    seen = []

    def pool(features, rois, offset, *args):
        seen.append({tensor.dtype for tensor in (features, rois, offset)})
        return deform_roi_pool(features, rois, offset, *args)

    deform_roi_pool = deformable_roi_sampling.deform_roi_pool
    monkeypatch.setattr(deformable_roi_sampling, 'deform_roi_pool', pool)
    with torch.autocast('cpu', torch.bfloat16):
        found = train(head, results)
    assert seen and set.union(*seen) == {torch.float32}
    assert without_gradient(head) == []
    for name in ('loss_cls', 'loss_bbox', 'loss_pc_cls', 'loss_pc_loc'):
        torch.testing.assert_close(found[name].float(), expected[name], atol=0.05, rtol=0.05)


def test_offsets_start_as_in_the_published_code():
    head = tsd_head()
    for layer in (head.shared_fc[0], head.delta_c[0], head.delta_c[2], head.delta_r[2]):
        deviation = layer.in_features**-0.5
        assert 0.6 * deviation < layer.weight.std() < 1.4 * deviation
        assert not layer.bias.any()
    assert 0.008 < head.TSD_fc_cls.weight.std() < 0.012
    assert 0.0008 < head.TSD_fc_reg.weight.std() < 0.0012


def test_weights_go_through_a_checkpoint():
    head, other = tsd_head(SEESAW, pc_cls=False), tsd_head(SEESAW, pc_cls=False)
    train(head, sampled())
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.01)
    other.load_state_dict(head.state_dict(), strict=True)
    for found, expected in zip(*(run(h.eval(), sampled()) for h in (other, head)), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(other.loss_cls.cum_samples, head.loss_cls.cum_samples)


def test_head_that_is_not_shown_the_pyramid_is_one_error():
    head = tsd_head()
    message = r'TSDShared2FCBBoxHead was not shown.*roi_head\.type.*UniformCascadeRoIHead'
    with pytest.raises(UserError, match=message):
        head(roi_features(2))
    with head.seeing_pyramid(seen_pyramid(1), torch.zeros(2, 5)):
        pass
    with pytest.raises(UserError, match=message):
        head(roi_features(2))


def test_neck_with_too_few_levels_is_one_error():
    head = tsd_head()
    with (
        head.seeing_pyramid(seen_pyramid(1)[:3], torch.zeros(2, 5)),
        pytest.raises(UserError, match=r'featmap_strides has 4 levels.*gives 3'),
    ):
        head(roi_features(2))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(margin=1.5), r'margin must be in \[0, 1\], not 1.5'),
        (dict(gamma=0), r'gamma must be above 0, not 0'),
        (dict(sampling_ratio=-1), r'sampling_ratio must be 0 or more'),
        (dict(roi_chunk=0), r'roi_chunk must be 1 or more'),
        (dict(with_avg_pool=True), r'leave out.*with_avg_pool'),
        (
            dict(bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=(0.1, 0, 0, 0))),
            r'target_means',
        ),
    ],
)
def test_option_that_cannot_be_is_named(options, message):
    with pytest.raises(UserError, match=rf'roi_head\.bbox_head.*{message}'):
        tsd_head(**options)
