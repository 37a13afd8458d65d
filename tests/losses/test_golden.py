"""Values, gradients and scores of the official implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from plugins.losses import (
    BalancedGroupSoftmaxLoss,
    ClassAwareMarginLoss,
    EqualizationLoss,
    EqualizationLossV2,
    InverseFrequencyLoss,
    SigmoidLoss,
    SyncSeesawLoss,
)
from plugins.losses.balanced_group_softmax_loss import group_softmax_loss
from plugins.losses.class_aware_margin_loss import class_margins, margin_logits
from plugins.losses.federated_loss import FederatedLoss, draw_classes
from plugins.losses.group_softmax import choose_rows, group_classes
from plugins.losses.multi_class_focal_loss import multi_class_focal_loss
from plugins.losses.sigmoid_loss import sigmoid_loss

CLOSE = dict(rtol=1e-4, atol=1e-6)


@pytest.fixture
def golden(shared: Path):
    """Load the cases of a family as dicts of tensors."""

    def load(family: str) -> list[dict]:
        paths = sorted((shared / 'golden/longtail').glob(f'{family}_[0-9]*.npz'))
        assert paths
        cases = []
        for path in paths:
            with np.load(path, allow_pickle=False) as file:
                cases.append({name: torch.from_numpy(np.asarray(file[name])) for name in file})
        return cases

    return load


def _gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, logits)[0]


def _set_counts(loss, instance_count=None, image_count=None, num_images=1):
    given = instance_count if image_count is None else image_count
    instance_count = given if instance_count is None else instance_count
    image_count = given if image_count is None else image_count
    loss.set_category_counts(instance_count, image_count, num_images)


def test_seesaw_over_several_steps(golden):
    for case in golden('seesaw'):
        loss = SyncSeesawLoss(
            num_classes=int(case['num_classes']),
            p=float(case['p']),
            q=float(case['q']),
            eps=float(case['eps']),
            loss_weight=float(case['loss_weight']),
        )
        loss.cum_samples.copy_(case['cum_before'])
        for step in range(int(case['steps'])):
            now = {k.removeprefix(f't{step}_'): v for k, v in case.items() if k[:2] == f't{step}'}
            logits = now['cls_score'].requires_grad_()
            terms = loss(logits, now['labels'], now['label_weights'], float(now['avg_factor']))
            torch.testing.assert_close(terms['loss_cls_classes'], now['loss_classes'], **CLOSE)
            torch.testing.assert_close(
                terms['loss_cls_objectness'], now['loss_objectness'], **CLOSE
            )
            torch.testing.assert_close(_gradient(sum(terms.values()), logits), now['grad'], **CLOSE)
            assert torch.equal(loss.cum_samples, now['cum_after'].long())
            torch.testing.assert_close(
                loss.get_activation(logits.detach()), now['activation'], **CLOSE
            )


def test_equalization_loss(golden):
    for case in golden('eql'):
        logits = case['cls_score'].requires_grad_()
        loss = EqualizationLoss(
            num_classes=int(case['num_classes']), frequency_threshold=float(case['lambda_'])
        )
        # The file gives frequencies; as counts of images among 10^9 they keep their order.
        _set_counts(
            loss, image_count=(case['freq'].double() * 1e9).round().long(), num_images=10**9
        )
        assert int(loss.is_tail.sum()) == int(case['num_below'])
        value = loss(logits, case['labels'])['loss_cls']
        torch.testing.assert_close(value, case['loss'], **CLOSE)
        torch.testing.assert_close(_gradient(value, logits), case['grad'], **CLOSE)


def test_equalization_loss_v2_over_several_steps(golden):
    for case in golden('eqlv2'):
        loss = EqualizationLossV2(
            num_classes=int(case['num_classes']),
            mu=float(case['mu']),
            alpha=float(case['alpha']),
            gamma=float(case['gamma']),
        )
        for step in range(int(case['steps'])):
            now = {k.removeprefix(f't{step}_'): v for k, v in case.items() if k[:2] == f't{step}'}
            logits = now['cls_score'].requires_grad_()
            value = loss(logits, now['labels'])['loss_cls']
            torch.testing.assert_close(value, now['loss'], **CLOSE)
            torch.testing.assert_close(_gradient(value, logits), now['grad'], **CLOSE)
            for name in ('pos_grad', 'neg_grad', 'pos_neg'):
                torch.testing.assert_close(getattr(loss, name), now[name], **CLOSE)
            torch.testing.assert_close(
                loss.get_activation(logits.detach()), now['activation'], **CLOSE
            )


def test_sigmoid_loss_is_the_sum_over_classes_divided_by_rois(golden):
    for case in golden('bce_sum_over_n'):
        # The last column of the file takes no part.
        logits = case['cls_score'][:, :-1].clone().requires_grad_()
        value = SigmoidLoss(num_classes=int(case['num_classes']))(logits, case['labels'])
        torch.testing.assert_close(value['loss_cls'], case['loss'], **CLOSE)
        gradient = _gradient(value['loss_cls'], logits)
        torch.testing.assert_close(gradient, case['grad'][:, :-1], **CLOSE)


def test_federated_loss_of_the_classes_that_were_drawn(golden):
    for case in golden('federated'):
        num_classes = int(case['num_classes'])
        logits = case['cls_score'][:, :-1].clone().requires_grad_()
        takes_part = torch.zeros(num_classes + 1)
        takes_part[case['fed_classes']] = 1
        targets = F.one_hot(case['labels'], num_classes + 1)[:, :-1].float()
        value = sigmoid_loss(logits, targets, takes_part[:-1], len(logits))
        torch.testing.assert_close(value, case['loss'], **CLOSE)
        torch.testing.assert_close(_gradient(value, logits), case['grad'][:, :-1], **CLOSE)


def test_federated_loss_draws_classes_as_often_as_the_original(golden):
    (case,) = golden('federated_inclusion')
    weights = case['image_count'].float() ** float(case['freq_power'])
    is_present = torch.zeros(len(weights) + 1, dtype=torch.bool)
    is_present[case['gt_classes']] = True
    generator = torch.Generator().manual_seed(0)
    draws = 4000
    size = int(case['num_sample_cats'])
    taken = torch.zeros(len(weights))
    for _ in range(draws):
        drawn = draw_classes(is_present, weights, size, generator)
        taken += drawn
    expected = case['inclusion_freq'].double()
    variance = (expected * (1 - expected)).clamp(min=1e-4)
    bound = 5.5 * (variance * (1 / draws + 1 / float(case['draws']))).sqrt()
    assert ((taken / draws - expected).abs() <= bound).all()


def test_balanced_group_softmax(golden):
    for case in golden('bags'):
        num_classes = int(case['num_classes'])
        edges = tuple(int(edge) for edge in case['bin_edges'] if 0 < edge < 1e8)
        groups = group_classes(case['instance_count'], edges)
        assert list(groups.sizes) == case['group_sizes_with_others'].tolist()
        assert torch.equal(groups.position, case['group_label_maps'].long())
        assert torch.equal(groups.position[:, case['labels']], case['group_labels'].long())
        logits = case['cls_score'].requires_grad_()
        value = group_softmax_loss(logits, case['labels'], groups, list(case['group_weights']))
        torch.testing.assert_close(value, case['loss'], **CLOSE)
        torch.testing.assert_close(_gradient(value, logits), case['grad'], **CLOSE)
        loss = BalancedGroupSoftmaxLoss(
            num_classes=num_classes, beta=float(case['beta']), edges=edges
        )
        _set_counts(loss, case['instance_count'])
        torch.testing.assert_close(
            loss.get_activation(logits.detach()), case['activation'], **CLOSE
        )
        for group, expected in enumerate(case['group_avg'][:-1]):
            chosen = choose_rows(
                case['group_labels'][group] > 0,
                torch.ones(len(logits)),
                float(case['beta']),
                torch.Generator().manual_seed(0),
            )
            # The original divides an empty group by 1.
            assert max(int(chosen.sum()), 1) == int(expected)


def test_focal_margin_and_reweighting(golden):
    for case in golden('closed_form'):
        labels = case['labels']

        def check(value, logits, name, case=case):
            torch.testing.assert_close(value, case[f'{name}_loss'], rtol=1e-6, atol=1e-8)
            gradient = _gradient(value, logits)
            torch.testing.assert_close(gradient, case[f'{name}_grad'], rtol=1e-6, atol=1e-8)

        logits = case['cls_score'].double().requires_grad_()
        focal = multi_class_focal_loss(logits, labels, float(case['focal_gamma'])).mean()
        check(focal, logits, 'focal')
        margins = case['margins'].double()
        margin = F.cross_entropy(margin_logits(logits, labels, margins), labels)
        check(margin, logits, 'margin')
        # The file's largest margin is that of its rarest class, as ours.
        ours = class_margins(case['instance_count'], float(margins.max()))
        torch.testing.assert_close(ours.double(), margins[:-1], rtol=1e-6, atol=1e-8)
        loss = InverseFrequencyLoss(num_classes=int(case['num_classes']))
        _set_counts(loss, case['instance_count'])
        torch.testing.assert_close(loss.class_weights.double(), case['weights'].double())
        logits32 = case['cls_score'].float()
        value = loss(logits32, labels)['loss_cls'].double()
        torch.testing.assert_close(value, case['reweight_loss'], **CLOSE)
        whole = ClassAwareMarginLoss(
            num_classes=int(case['num_classes']), max_margin=float(margins.max())
        )
        _set_counts(whole, case['instance_count'])
        value = whole(logits32, labels)['loss_cls'].double()
        torch.testing.assert_close(value, case['margin_loss'], **CLOSE)


def test_the_class_sets_of_a_batch_always_hold_its_labels(golden):
    (case,) = golden('federated_inclusion')
    loss = FederatedLoss(num_classes=len(case['image_count']))
    _set_counts(loss, image_count=case['image_count'])
    labels = torch.arange(80)
    targets = F.one_hot(labels, loss.num_classes).float()
    weights = loss.term_weights(targets, labels, torch.ones(80))
    assert torch.equal(weights.nonzero().squeeze(1), labels)
