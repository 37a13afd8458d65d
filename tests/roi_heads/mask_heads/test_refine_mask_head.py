"""Both forms of the head; what is true of one of them alone says so."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.roi_heads.mask_heads import RefineMaskHead, SimpleRefineMaskHead
from plugins.roi_heads.mask_heads.refine_loss import stage_losses
from plugins.structures import CropMasks
from tests.tensor_memory import TensorMemory

HEADS = dict(refine=RefineMaskHead, simple=SimpleRefineMaskHead)
CASES = dict(refine='refinemask_lvis_a', simple='refinemask_simple_a')
SMALL = dict(num_convs=1, num_semantic_convs=1, in_channels=8, semantic_in_channels=8)
SIZES = (14, 28, 56, 112)

each_form = pytest.mark.parametrize('form', HEADS)


def _head(form, num_classes=5, **options):
    torch.manual_seed(0)
    head = HEADS[form](num_classes, **{**SMALL, 'conv_out_channels': 24, **options})
    head.init_weights()
    return head


def _images(num_images=2, channels=8):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(num_images, channels, s, s, generator=generator) for s in (32, 16))


def _rois(counts):
    """Boxes in images of 128 x 128 pixels, features and labels of them, and objects."""
    generator = torch.Generator().manual_seed(2)
    rois, results, objects = [], [], []
    for image, count in enumerate(counts):
        corner = torch.rand(count, 2, generator=generator) * 60
        boxes = torch.cat([corner, corner + 20 + torch.rand(count, 2, generator=generator) * 40], 1)
        rois.append(torch.cat([torch.full((count, 1), float(image)), boxes], 1))
        results.append(SimpleNamespace(pos_priors=boxes, pos_assigned_gt_inds=torch.arange(count)))
        masks = np.zeros((count, 128, 128), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1 + 5 : y2 - 5, x1 + 5 : x2] = 1
        objects.append(InstanceData(masks=CropMasks.from_bitmaps(masks)))
    features = torch.randn(sum(counts), 8, 14, 14, generator=generator)
    labels = torch.arange(sum(counts)) % 5
    batch = dict(rois=torch.cat(rois), labels=labels, features=features)
    return SimpleNamespace(**batch, results=results, objects=objects)


def _predict(head, x, batch, chunk=None):
    """Logits of every stage, some RoIs at a time."""
    size = chunk or max(len(batch.rois), 1)
    parts = []
    with head.seeing_images(x):
        for rois, labels, features in zip(
            *(t.split(size) for t in (batch.rois, batch.labels, batch.features)), strict=True
        ):
            with head.seeing_rois(rois, labels):
                parts.append(head(features))
    return [torch.cat(stage) for stage in zip(*parts, strict=True)]


def _losses(head, x, batch):
    with head.seeing_images(x), head.seeing_rois(batch.rois, batch.labels):
        logits = head(batch.features)
        return head.loss_and_target(logits, batch.results, batch.objects, ConfigDict())


def _golden_head(form, case):
    width = len(case['sd.instance_convs.0.conv.weight'])
    head = HEADS[form](
        num_classes=5,
        num_convs=2,
        num_semantic_convs=2,
        in_channels=width,
        semantic_in_channels=width,
        conv_out_channels=width,
        stage_loss_weights=case['cfg.stage_loss_weight'].tolist(),
    )
    # Strictly: the names are those of the authors.
    head.load_state_dict({key[3:]: value for key, value in case.items() if key.startswith('sd.')})
    return head


@each_form
def test_predictions_and_losses_are_those_of_the_authors(golden, form):
    case = golden(CASES[form])
    head = _golden_head(form, case)
    results = [
        SimpleNamespace(
            pos_priors=case[f'boxes.{image}'],
            pos_assigned_gt_inds=case[f'assigned_gt_inds.{image}'],
        )
        for image in (0, 1)
    ]
    objects = [
        InstanceData(masks=CropMasks.from_bitmaps(case[f'gt_masks.{image}'].numpy()))
        for image in (0, 1)
    ]
    with (
        head.seeing_images((case['x_semantic'],)),
        head.seeing_rois(case['rois'], case['labels']),
    ):
        logits = head(case['x_instance'])
        found = head.loss_and_target(logits, results, objects, ConfigDict())
    for stage, own in enumerate(logits):
        torch.testing.assert_close(own, case[f'pred.{stage}'], rtol=1e-5, atol=1e-5)
    assert torch.equal(found['mask_targets'], case['target.3'].float())
    losses = found['loss_mask']
    torch.testing.assert_close(losses['loss_mask'], case['loss_instance'], rtol=1e-5, atol=1e-5)
    merged, expected = head.merge(logits), case['merged.3']
    # A value at a threshold may fall on its other side.
    assert ((merged - expected).abs() > 1e-4).float().mean() <= 1e-3
    if form == 'refine':
        torch.testing.assert_close(
            losses['loss_mask_semantic'], case['loss_semantic'], rtol=1e-5, atol=1e-5
        )
    else:
        assert list(losses) == ['loss_mask']


def test_features_of_the_last_stage_may_be_enlarged_instead_of_its_logits():
    batch, x = _rois((2, 1)), _images()
    heads = [_head('simple', pre_upsample_last_stage=value) for value in (False, True)]
    heads[1].load_state_dict(heads[0].state_dict())
    (*first, late), (*same, early) = (_predict(head, x, batch) for head in heads)
    assert all(torch.equal(*pair) for pair in zip(first, same, strict=True))
    assert late.shape == early.shape == (3, 1, 112, 112) and not torch.equal(late, early)


@each_form
def test_training_and_test_predict_the_same_four_sizes(form):
    head, batch, x = _head(form), _rois((3, 2)), _images()
    before = batch.features.clone()
    logits = _predict(head.train(), x, batch)
    assert [tuple(own.shape) for own in logits] == [(5, 1, s, s) for s in SIZES]
    assert all(own.dtype == torch.float32 for own in logits)
    with torch.no_grad():
        tested = _predict(head.eval(), x, batch)
    assert all(torch.equal(*pair) for pair in zip(logits, tested, strict=True))
    assert torch.equal(batch.features, before)
    assert head.merge(logits).shape == (5, 1, 112, 112)


@each_form
def test_chunks_of_rois_see_the_images_once(form, monkeypatch):
    head, batch, x = _head(form), _rois((4, 3)), _images()
    whole = _predict(head, x, batch)
    seen = []
    head.semantic_convs[0].register_forward_hook(lambda *_: seen.append(1))
    for own, expected in zip(_predict(head, x, batch, chunk=2), whole, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)
    assert len(seen) == 1


@each_form
def test_order_of_rois_does_not_matter(form):
    head, batch, x = _head(form), _rois((4, 3)), _images()
    order = torch.tensor([6, 0, 5, 2, 1, 3, 4])
    moved = SimpleNamespace(**{k: getattr(batch, k)[order] for k in ('rois', 'labels', 'features')})
    pairs = zip(_predict(head, x, batch), _predict(head, x, moved), strict=True)
    for own, other in pairs:
        torch.testing.assert_close(own[order], other, rtol=1e-5, atol=1e-5)


@each_form
def test_rois_of_an_image_see_that_image(form):
    head, batch, x = _head(form), _rois((2, 2)), _images()
    changed = tuple(torch.cat([level[:1], level[1:] * 2 + 1]) for level in x)
    pairs = zip(_predict(head, x, batch), _predict(head, changed, batch), strict=True)
    for stage, (own, other) in enumerate(pairs):
        torch.testing.assert_close(own[:2], other[:2], rtol=1e-5, atol=1e-5)
        assert (own[2:] != other[2:]).any() == (stage > 0), 'the first sees RoI features alone'


@each_form
@pytest.mark.parametrize('class_wise', [(True,) * 4, (False,) * 4, (False, True, False, True)])
def test_stage_has_a_mask_for_every_class_or_one(form, class_wise):
    head, batch, x = _head(form, class_wise_stages=class_wise), _rois((3, 2)), _images()
    assert [p.out_channels for p in head.predictors()] == [5 if wise else 1 for wise in class_wise]
    first = _predict(head, x, batch)
    batch.labels = (batch.labels + 1) % 5
    others = _predict(head, x, batch)
    changed = [not torch.equal(*pair) for pair in zip(first, others, strict=True)]
    assert changed == [any(class_wise[: stage + 1]) for stage in range(4)]


@each_form
def test_every_parameter_and_level_gets_a_gradient(form):
    head, batch = _head(form, norm_cfg=dict(type='GN', num_groups=2)), _rois((3, 2))
    x = tuple(level.requires_grad_() for level in _images())
    batch.features.requires_grad_()
    losses = _losses(head, x, batch)['loss_mask']
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())
    assert batch.features.grad.any() and x[0].grad.any() and x[1].grad is None


@each_form
def test_no_roi_costs_nothing_and_leaves_no_parameter_out(form):
    head, batch = _head(form, norm_cfg=dict(type='BN')), _rois((0, 0))
    x = tuple(level.requires_grad_() for level in _images())
    batch.features.requires_grad_()
    found = _losses(head.train(), x, batch)
    assert found['mask_targets'].shape == (0, 112, 112)
    losses = found['loss_mask']
    assert float(losses['loss_mask'].detach()) == 0
    assert ('loss_mask_semantic' in losses) == (form == 'refine')
    sum(losses.values()).backward()
    assert not [name for name, p in head.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in head.parameters())
    assert all(buffer.isfinite().all() for buffer in head.buffers()), 'statistics of nothing'
    assert batch.features.grad is not None
    assert head.merge(_predict(head, x, batch)).shape == (0, 1, 112, 112)


def test_semantic_loss_depends_on_the_images_alone():
    head, x = _head('refine', semantic_loss_weight=0.5), _images()
    batch, none = _rois((3, 2)), _rois((0, 0))
    none.objects = batch.objects
    some, alone = (
        _losses(head, x, each)['loss_mask']['loss_mask_semantic'] for each in (batch, none)
    )
    assert some == alone > 0
    head.semantic_loss_weight = 1.0
    torch.testing.assert_close(_losses(head, x, batch)['loss_mask']['loss_mask_semantic'], some * 2)


@each_form
def test_image_without_objects_may_come_in_any_container(form):
    head, batch, x = _head(form), _rois((2, 0)), _images()
    losses = _losses(head, x, batch)['loss_mask']
    assert all(loss > 0 for loss in losses.values())
    batch.objects[1].masks = BitmapMasks([], 128, 128)
    assert _losses(head, x, batch)['loss_mask'] == losses


@each_form
def test_memory_does_not_depend_on_the_number_of_classes(form):
    batch, x = _rois((12,)), _images(1)
    for step in (_losses, _predict):
        peaks = []
        for classes in (5, 1203):
            head = _head(form, classes)
            with TensorMemory() as memory, torch.set_grad_enabled(step is _losses):
                found = step(head, x, batch)
                if step is _losses:
                    sum(found['loss_mask'].values()).backward()
            peaks.append(memory.peak)
        assert peaks[1] <= 1.01 * peaks[0]


@each_form
def test_autocast_leaves_losses_thresholds_and_boxes_in_full_precision(form):
    head, batch, x = _head(form), _rois((3, 2)), _images()
    exact = _losses(head, x, batch)['loss_mask']
    with torch.autocast('cpu', torch.bfloat16):
        logits = _predict(head, x, batch)
        losses = _losses(head, x, batch)['loss_mask']
    assert all(own.dtype == torch.float32 for own in logits)
    for key, loss in losses.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[key], rtol=0.05, atol=0.01)
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@each_form
def test_head_of_htc_listens_to_the_one_before(form):
    batch, x = _rois((2, 1)), _images()
    head = _head(form, with_conv_res=True)
    last = torch.randn(3, 8, 14, 14)
    with head.seeing_images(x), head.seeing_rois(batch.rois, batch.labels):
        logits, feature = head(batch.features, last, return_feat=True)
        heard = batch.features + head.conv_res(last)
        for own, expected in zip(logits, head(heard), strict=True):
            torch.testing.assert_close(own, expected)
    assert torch.equal(head(batch.features, last, return_logits=False, return_feat=True), feature)
    assert feature.shape == (3, 24, 14, 14)
    silent = _head(form)
    assert not hasattr(silent, 'conv_res')
    with pytest.raises(UserError, match='with_conv_res=True'):
        silent(batch.features, last)


@each_form
def test_what_the_head_was_not_shown_is_named(form):
    head, batch, x = _head(form), _rois((2,)), _images(1)
    with pytest.raises(UserError, match='was not shown the images'):
        head(batch.features)
    with head.seeing_rois(batch.rois, batch.labels):
        with pytest.raises(UserError, match='was not shown the images'):
            head(batch.features)
        with head.seeing_images(x), pytest.raises(UserError, match=r'\(7, 7\).*begins with 14'):
            head(batch.features[..., :7, :7])
    head.semantic_level = 2
    with pytest.raises(UserError, match='semantic_level is 2.* 2 levels'):
        _predict(head, x, batch)


@each_form
def test_masks_are_pasted_as_those_of_a_class_agnostic_head(form):
    head, batch, x = _head(form), _rois((3,)), _images(1)
    merged = head.merge(_predict(head, x, batch)).detach()
    merged -= merged.mean()  # some pixels of either kind
    meta = dict(ori_shape=(128, 128), scale_factor=(1.0, 1.0))
    stock = FCNMaskHead(num_convs=0, in_channels=4, conv_out_channels=4, class_agnostic=True)
    pasted = []
    for owner in (head, stock):
        found = InstanceData(bboxes=batch.rois[:, 1:].clone(), labels=batch.labels)
        owner.predict_by_feat([merged], [found], [meta], ConfigDict(mask_thr_binary=0.5))
        pasted.append(found.masks)
    assert torch.equal(*pasted) and pasted[0].any()


@each_form
def test_weights_are_initialised_as_the_authors_do(form):
    torch.manual_seed(0)
    head = HEADS[form](5)
    head.init_weights()
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            spread = module.weight.std() * (fan_out / 2) ** 0.5
            assert 0.8 < spread < 1.25 or module.weight.numel() < 300
            assert not module.bias.any()


@each_form
def test_a_stage_fewer_is_a_smaller_head(form):
    options = dict(stage_sizes=(7, 14, 28), class_wise_stages=(True, True, False))
    head = _head(form, stage_loss_weights=(1, 1, 1), **options)
    batch, x = _rois((2,)), _images(1)
    batch.features = batch.features[..., ::2, ::2]
    assert [own.shape[-1] for own in _predict(head, x, batch)] == [7, 14, 28]
    assert _losses(head, x, batch)['mask_targets'].shape == (2, 28, 28)


@each_form
def test_copy_of_a_head_is_a_head(form):
    head, batch, x = _head(form), _rois((2,)), _images(1)
    pairs = zip(_predict(copy.deepcopy(head), x, batch), _predict(head, x, batch), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


@each_form
def test_a_gpu_never_has_to_wait(form):
    """Tensors without values, said to be on a GPU: asking for a value or mixing devices fails."""
    with FakeTensorMode(), torch.device('cuda'):
        head = HEADS[form](5, **SMALL, conv_out_channels=24)
        labels = torch.zeros(6, dtype=torch.int64)
        with head.seeing_images((torch.empty(2, 8, 32, 32),)):
            with head.seeing_rois(torch.empty(6, 5), labels):
                logits = head(torch.empty(6, 8, 14, 14))
            targets = [torch.empty(6, size, size) for size in SIZES]
            losses = stage_losses(logits, targets, boundary_width=2, start_stage=1)
            merged = head.merge(logits)
    assert all(value.device.type == 'cuda' for value in (*logits, *losses, merged))
