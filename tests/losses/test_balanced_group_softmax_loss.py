import pytest
import torch

from plugins.errors import UserError
from plugins.losses import BalancedGroupSoftmaxLoss
from plugins.losses.group_softmax import choose_rows, group_classes

COUNTS = torch.tensor([5, 5000, 10, 99, 100, 999, 1000, 0])


def _loss(**more):
    loss = BalancedGroupSoftmaxLoss(num_classes=8, **more)
    loss.set_category_counts(COUNTS, COUNTS, 9000)
    return loss


def test_every_class_is_in_exactly_one_group():
    groups = group_classes(COUNTS, (10, 100, 1000))
    assert groups.sizes == (3, 3, 3, 3, 2)
    assert ((groups.position[:-1, :8] > 0).sum(0) == 1).all()
    # The label of background is 'others' in every foreground group.
    assert groups.position[:, 8].tolist() == [0, 0, 0, 0, 1]
    assert groups.channel.tolist() == [1, 10, 4, 5, 7, 8, 11, 2]


def test_groups_of_the_published_sets(shared):
    import json

    for name, sizes in (('v1', [200, 412, 334, 257]), ('v0_5', [294, 453, 302, 181])):
        path = shared / 'lvis' / f'lvis_{name}_category_counts.json'
        counts = json.loads(path.read_text())
        counts = counts if isinstance(counts, list) else counts['categories']
        instances = torch.tensor([row['instance_count'] for row in counts])
        groups = group_classes(instances, (10, 100, 1000))
        assert [size - 1 for size in groups.sizes] == [*sizes, 1]


def test_an_empty_group_keeps_its_channel_and_costs_nothing():
    loss = BalancedGroupSoftmaxLoss(num_classes=2)
    loss.set_category_counts(torch.tensor([5, 5000]), torch.tensor([5, 5000]), 9000)
    assert loss.get_cls_channels(2) == 8 and loss.groups.sizes == (2, 1, 1, 2, 2)
    logits = torch.randn(6, 8, requires_grad=True)
    loss(logits, torch.tensor([0, 0, 1, 1, 2, 2]))['loss_cls'].backward()
    assert logits.grad[:, 2:4].abs().max() == 0 and logits.grad.isfinite().all()


def test_members_are_always_chosen_and_others_by_beta():
    is_member = torch.arange(100) < 5
    weights = torch.ones(100)
    weights[90:] = 0
    weights[0] = 0
    taken = torch.zeros(100)
    generator = torch.Generator().manual_seed(0)
    for _ in range(400):
        chosen = choose_rows(is_member, weights, 2.6, generator)
        assert chosen[1:5].all() and not chosen[90:].any() and not chosen[0]
        assert chosen.sum() == 4 + 10
        taken += chosen
    # All of the 85 others are equally likely: 10 in 85.
    share = taken[5:90] / 400
    assert (share - 10 / 85).abs().max() < 5 * (0.12 * 0.88 / 400) ** 0.5
    assert not choose_rows(torch.zeros(100, dtype=torch.bool), weights, 8.0, generator).any()
    assert choose_rows(is_member, weights, 1e6, generator).sum() == 89


def test_scores_never_exceed_the_probability_of_foreground():
    scores = _loss().get_activation(torch.randn(50, 14) * 3)
    assert (scores[:, :-1].amax(1) <= 1 - scores[:, -1] + 1e-6).all()


def test_rois_without_weight_train_nothing():
    logits = torch.randn(40, 14, requires_grad=True)
    weights = (torch.arange(40) % 2).float()
    _loss()(logits, torch.arange(40) % 9, weights)['loss_cls'].backward()
    assert (logits.grad[::2] == 0).all() and (logits.grad[1::2] != 0).any()


def test_edges_must_increase():
    with pytest.raises(UserError, match='increasing edges'):
        BalancedGroupSoftmaxLoss(edges=(100, 10))
