import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from plugins.errors import UserError
from plugins.hooks import TrainingCountsHook
from plugins.losses import (
    BalancedGroupSoftmaxLoss,
    FederatedLoss,
    ObjectnessLoss,
    SyncSeesawLoss,
)

LABELS = [[0, 0, 2], [], [2], [1, 2, 2]]


class _Dataset:
    @property
    def metainfo(self):
        return dict(classes=('a', 'b', 'c', 'd'))

    def __init__(self, labels=LABELS):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def get_cat_ids(self, index):
        return self.labels[index]


def _runner(model, dataset, iterations=0):
    loader = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(model=model, train_dataloader=loader, seed=5, iter=iterations)


def test_counts_reach_losses_however_deep():
    inner = dict(type='FederatedLoss')
    model = nn.ModuleList([ObjectnessLoss(num_classes=4, loss_cls=inner)])
    wrapped = SimpleNamespace(dataset=_Dataset())
    TrainingCountsHook().before_train(_runner(model, wrapped))
    loss = model[0].loss_cls
    assert loss.instance_count.tolist() == [2, 1, 4, 0]
    assert loss.image_count.tolist() == [1, 1, 3, 0] and int(loss.num_images) == 3


def test_seed_and_resumption_reach_the_losses():
    for iterations, kept in ((0, 0), (7, 9)):
        loss = SyncSeesawLoss(num_classes=4, reset_counts=True)
        loss.cum_samples.fill_(9)
        TrainingCountsHook().before_train(_runner(loss, _Dataset(), iterations))
        assert (loss.cum_samples == kept).all()


def test_a_loss_that_no_head_bound_is_one_error():
    with pytest.raises(UserError, match='belongs into the box head of a two-stage detector'):
        TrainingCountsHook().before_train(_runner(SyncSeesawLoss(), _Dataset()))


def test_the_data_set_must_fit_the_head():
    with pytest.raises(UserError, match='counts 4 categories, but the head has num_classes=6'):
        TrainingCountsHook().before_train(_runner(FederatedLoss(num_classes=6), _Dataset()))


@pytest.mark.parametrize(
    ('dataset', 'message'),
    [(_Dataset([[], []]), 'no annotations to count'), (torch.utils.data.Dataset(), 'get_cat_ids')],
)
def test_a_data_set_that_cannot_be_counted_is_one_error(dataset, message):
    with pytest.raises(UserError, match=message):
        TrainingCountsHook().before_train(_runner(FederatedLoss(num_classes=4), dataset))


def test_a_file_of_counts_spares_the_data_set(tmp_path):
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps([dict(id=i, instance_count=i, image_count=i) for i in range(4)]))
    loss = FederatedLoss(num_classes=4, counts=str(path))
    TrainingCountsHook().before_train(_runner(loss, torch.utils.data.Dataset()))
    assert loss.instance_count.tolist() == [0, 1, 2, 3]


def test_groups_of_a_frozen_classifier_stay_those_it_was_trained_with():
    known, unknown = (BalancedGroupSoftmaxLoss(num_classes=4).eval() for _ in range(2))
    known.set_category_counts(torch.tensor([5, 50, 500, 5000]), torch.ones(4), 9)
    sizes = known.groups.sizes
    model = nn.ModuleList([known, unknown])
    TrainingCountsHook().before_train(_runner(model, _Dataset()))
    assert known.groups.sizes == sizes and known.instance_count.tolist() == [5, 50, 500, 5000]
    assert unknown.instance_count.tolist() == [2, 1, 4, 0]


def test_nothing_is_counted_if_no_loss_asks():
    runner = _runner(SyncSeesawLoss(num_classes=4), torch.utils.data.Dataset())
    TrainingCountsHook().before_train(runner)
