import pytest
import torch
from mmengine.structures import PixelData

from plugins.errors import UserError
from tests.roi_heads.nano import (
    CARAFE,
    NUM_CLASSES,
    SEMANTIC,
    box_heads,
    drawn_batch,
    nano_model,
    nano_roi_head,
    propose,
    pyramid,
)
from tests.steps import build_detector, make_batch, train_step, without_gradient

each_model = pytest.mark.parametrize('name', ['mask-rcnn', 'cascade-mask-rcnn', 'htc'])
SIGMOID = dict(_delete_=True, type='SigmoidLoss', prior=0.02)


def _count_calls(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@each_model
def test_classifier_of_every_stage_starts_from_the_prior(name):
    model = build_detector(nano_model(name, roi_head=dict(bbox_head=dict(loss_cls=SIGMOID))))
    for head in box_heads(model):
        torch.testing.assert_close(head.fc_cls.bias.sigmoid(), torch.full((NUM_CLASSES,), 0.02))
        assert head.fc_cls.bias.requires_grad


@pytest.mark.parametrize('loss', ['SoftmaxLoss', 'CrossEntropyLoss'])
def test_loss_without_a_prior_leaves_the_bias_at_zero(loss):
    head = dict(loss_cls=dict(_delete_=True, type=loss))
    model = build_detector(nano_model('mask-rcnn', roi_head=dict(bbox_head=head)))
    assert not model.roi_head.bbox_head.fc_cls.bias.any()


def test_prior_without_a_bias_to_hold_it_is_one_error():
    head = dict(cls_predictor_cfg=dict(type='Linear', bias=False), loss_cls=SIGMOID)
    with pytest.raises(UserError, match='cls_predictor_cfg has bias=False, but SigmoidLoss'):
        build_detector(nano_model('mask-rcnn', roi_head=dict(bbox_head=head)))


def _mask_heads(model):
    heads = model.roi_head.mask_head
    return list(heads) if isinstance(heads, torch.nn.ModuleList) else [heads]


@each_model
def test_frozen_mask_branch_on_frozen_features_is_not_computed(name):
    model = build_detector(nano_model(name))
    for module in (model.backbone, model.neck, *_mask_heads(model)):
        module.requires_grad_(False)
    calls = [_count_calls(head) for head in _mask_heads(model)]
    losses = train_step(model, make_batch(NUM_CLASSES))
    assert not any('mask' in key for key in losses) and not any(calls)
    assert any('loss_cls' in key for key in losses)


@each_model
def test_frozen_mask_head_still_trains_the_features_below(name):
    model = build_detector(nano_model(name))
    for head in _mask_heads(model):
        head.requires_grad_(False)
    losses = train_step(model, make_batch(NUM_CLASSES))
    assert sum('loss_mask' in key for key in losses) == len(_mask_heads(model))


def test_only_the_stages_that_train_have_a_mask_loss():
    model = build_detector(nano_model('cascade-mask-rcnn'))
    model.requires_grad_(False)
    model.roi_head.mask_head[1].requires_grad_(True)
    losses = train_step(model, make_batch(NUM_CLASSES))
    assert [key for key in losses if 'loss_mask' in key] == ['s1.loss_mask']


@each_model
def test_batch_without_objects_trains_a_mask_head_that_takes_no_empty_input(name):
    """As CARAFE; should its first assertion start to fail, there is one reason less to skip."""
    carafe = dict(upsample_cfg=CARAFE)
    model = build_detector(nano_model(name, roi_head=dict(mask_head=carafe)))
    with pytest.raises(RuntimeError, match='cannot reshape'):
        _mask_heads(model)[0](torch.zeros(0, 16, 14, 14))
    losses = train_step(model, make_batch(NUM_CLASSES, num_objects=0))
    masks = [value for key, value in losses.items() if 'loss_mask' in key]
    assert masks == [0] * len(_mask_heads(model))
    for head in _mask_heads(model):
        assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


@pytest.mark.parametrize('parts', [('mask',), ('bbox', 'mask')], ids='+'.join)
def test_batch_without_objects_trains_what_the_semantic_branch_gives_to_the_masks(parts):
    torch.manual_seed(0)
    head = nano_roi_head('htc', roi_head=dict(SEMANTIC, semantic_fusion=parts)).train()
    sample = make_batch(NUM_CLASSES, num_objects=0)['data_samples'][0]
    sample.gt_sem_seg = PixelData(sem_seg=torch.zeros(1, 128, 128, dtype=torch.long))
    losses = head.loss(pyramid(), [propose(4)], [sample])
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert not without_gradient(head)


@each_model
def test_drawn_class_reaches_the_sampler_of_every_stage(name):
    model = build_detector(
        nano_model(name, train_cfg=dict(rcnn=dict(sampler=dict(type='ClassDrawRoISampler'))))
    )
    seen = []
    for head in box_heads(model):
        stock = head.get_targets
        head.get_targets = lambda results, *args, stock=stock, **kwargs: (
            seen.append([result.sampled_label for result in results])
            or stock(results, *args, **kwargs)
        )
    batch = drawn_batch(label=3)
    del batch['data_samples'][1].sampled_label
    train_step(model, batch)
    assert seen == [[3, -1]] * len(box_heads(model))
