import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses import SoftmaxLoss, SyncSeesawLoss
from plugins.losses.two_classifier_loss import TwoClassifierLoss, select_scores

K = 9


def _loss(original='SoftmaxLoss', second='SoftmaxLoss', *, num_classes=K, counts=None, **options):
    parts = dict(original=MODELS.build(dict(type=original)), second=MODELS.build(dict(type=second)))
    loss = TwoClassifierLoss(**parts, **options)
    loss.get_cls_channels(num_classes)
    if counts is not None:
        counts = torch.as_tensor(counts)
        loss.set_category_counts(counts, counts, 1)
    return loss


def _logits(*columns, rows=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.cat([torch.randn(rows, n, generator=generator) for n in columns], dim=1)


def _stage_mean(golden, kind):
    parts = (torch.from_numpy(golden[f'{kind}_{part}']).mean(0) for part in ('orig', 'cal'))
    return torch.cat(list(parts), dim=1)


@pytest.mark.parametrize('stock', ['SoftmaxLoss', 'mmdet.CrossEntropyLoss'])
@pytest.mark.parametrize('merge', ['average', 'select'])
def test_merged_softmax_scores_are_the_papers(shared, merge, stock):
    golden = np.load(shared / 'golden/models/scores_a.npz')
    options = dict(merge=merge, threshold=int(golden['T']), counts=golden['counts'])
    scores = _loss(stock, stock, **options).get_activation(_stage_mean(golden, 'softmax'))
    expected = torch.from_numpy(golden[f'softmax_{merge}'])
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(('merge', 'key'), [('average', 'average'), ('original', 'single')])
def test_merged_seesaw_scores_are_the_papers(shared, merge, key):
    golden = np.load(shared / 'golden/models/scores_a.npz')
    loss = _loss('SyncSeesawLoss', 'SyncSeesawLoss', merge=merge)
    scores = loss.get_activation(_stage_mean(golden, 'seesaw'))
    expected = torch.from_numpy(golden[f'seesaw_{key}'])
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)


def test_selection_takes_tail_classes_from_the_second(shared):
    golden = np.load(shared / 'golden/longtail/dual_head_00.npz')
    data = {key: torch.from_numpy(golden[key]) for key in golden.files if key not in ('note', 'T')}
    scores = select_scores(
        data['scores_orig'], data['scores_cal'], data['instance_count'], int(golden['T'])
    )
    assert torch.equal(scores, data['scores'])


def test_threshold_is_inclusive_and_background_is_the_originals():
    original, second = torch.zeros(1, 4), torch.ones(1, 4)
    scores = select_scores(original, second, torch.tensor([299, 300, 301]), 300)
    assert scores.tolist() == [[1, 1, 0, 0]]


def test_no_threshold_selects_all_or_none():
    logits, counts = _logits(K + 1, K + 1), [0, *range(1, K)]
    original = logits[:, : K + 1].softmax(1)
    second = logits[:, K + 1 :].softmax(1)
    none = _loss(merge='select', threshold=-1, counts=counts).get_activation(logits)
    assert torch.equal(none, original)
    every = _loss(merge='select', threshold=float('inf'), counts=counts).get_activation(logits)
    assert torch.equal(every[:, :-1], second[:, :-1])
    assert torch.equal(every[:, -1], original[:, -1])


@pytest.mark.parametrize('merge', ['average', 'select', 'original', 'second'])
def test_equal_classifiers_merge_to_the_single_one(merge):
    single = _logits(K + 1)
    loss = _loss(merge=merge, counts=range(0, 100 * K, 100))
    assert torch.equal(loss.get_activation(single.repeat(1, 2)), single.softmax(1))


def test_classifiers_of_different_losses_have_scores_of_one_width():
    loss = _loss('SigmoidLoss', 'SyncSeesawLoss')
    assert loss.channels() == (K, K + 2)
    logits = _logits(K, K + 2)
    seesaw = SyncSeesawLoss(num_classes=K).get_activation(logits[:, K:])
    expected = (F.pad(logits[:, :K].sigmoid(), (0, 1)) + seesaw) / 2
    torch.testing.assert_close(loss.get_activation(logits), expected)


@pytest.mark.parametrize('second', ['SoftmaxLoss', 'mmdet.CrossEntropyLoss'])
def test_only_the_second_classifier_trains(second):
    logits = _logits(K + 1, K + 1).requires_grad_()
    labels = torch.arange(12) % (K + 1)
    weights = (torch.arange(12) % 3 > 0).float()
    terms = _loss(second=second)(logits, labels, weights, avg_factor=8.0)
    terms['loss_cls'].backward()
    expected = (F.cross_entropy(logits[:, K + 1 :], labels, reduction='none') * weights).sum() / 8
    torch.testing.assert_close(terms['loss_cls'], expected)
    assert not logits.grad[:, : K + 1].any() and logits.grad[:, K + 1 :].any()


@pytest.mark.parametrize('second', ['SyncSeesawLoss', 'mmdet.CrossEntropyLoss'])
def test_accuracy_is_the_seconds(second):
    loss = _loss(second=second)
    labels = torch.arange(12) % K
    logits = torch.cat([_logits(K + 1), 9 * F.one_hot(labels, loss.channels()[1]).float()], 1)
    accuracy = loss.get_accuracy(logits, labels)
    assert 'acc_classes' in accuracy or 'acc' in accuracy
    assert float(accuracy.get('acc_classes', accuracy.get('acc'))) == 100


def test_counters_of_the_original_rest_and_those_of_the_second_count():
    loss = _loss('SyncSeesawLoss', 'SyncSeesawLoss').train()
    loss(_logits(K + 2, K + 2), torch.arange(12) % (K + 1))
    assert not loss.original.training and loss.second.training
    assert loss.original.cum_samples.sum() == 0
    assert loss.second.cum_samples.sum() == 12


def test_state_of_a_single_classifier_is_loaded_into_the_original():
    single = SyncSeesawLoss(num_classes=K).train()
    single(_logits(K + 2), torch.arange(12) % (K + 1))
    loss = _loss('SyncSeesawLoss', 'SyncSeesawLoss')
    result = loss.load_state_dict(single.state_dict(), strict=False)
    assert torch.equal(loss.original.cum_samples, single.cum_samples)
    assert loss.second.cum_samples.sum() == 0
    assert not result.unexpected_keys


def test_counts_of_a_single_classifier_serve_the_selection_too():
    single = MODELS.build(dict(type='InverseFrequencyLoss', num_classes=K))
    counts = torch.arange(1, K + 1) * 100
    single.set_category_counts(counts, counts, 10)
    loss = _loss('InverseFrequencyLoss', merge='select', threshold=300)
    loss.load_state_dict(single.state_dict(), strict=False)
    assert torch.equal(loss.original.instance_count, counts)
    logits = _logits(K + 1, K + 1)
    scores = loss.get_activation(logits)
    assert torch.equal(scores[:, :3], logits[:, K + 1 :].softmax(1)[:, :3])
    assert torch.equal(scores[:, 3:], logits[:, : K + 1].softmax(1)[:, 3:])


def test_own_state_is_loaded_as_it_was():
    loss = _loss('SyncSeesawLoss', 'SyncSeesawLoss', counts=range(K)).train()
    loss(_logits(K + 2, K + 2), torch.arange(12) % (K + 1))
    loss.original.cum_samples += 7
    again = _loss('SyncSeesawLoss', 'SyncSeesawLoss')
    again.load_state_dict(loss.state_dict(), strict=True)
    for name, value in loss.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_selection_without_counts_says_where_they_come_from():
    with pytest.raises(UserError, match='counts'):
        _loss(merge='select').get_activation(_logits(K + 1, K + 1))
    _loss(merge='average').get_activation(_logits(K + 1, K + 1))


def test_unknown_merge_names_the_key():
    with pytest.raises(UserError, match=r'second_classifier\.merge must be one of average'):
        TwoClassifierLoss(original=SoftmaxLoss(), second=SoftmaxLoss(), merge='mean')


def test_threshold_that_is_no_number_names_the_key():
    with pytest.raises(UserError, match=r"second_classifier\.threshold .* not '300'"):
        TwoClassifierLoss(original=SoftmaxLoss(), second=SoftmaxLoss(), threshold='300')


def test_no_roi_gives_a_zero_that_depends_on_the_second_logits():
    logits = torch.zeros(0, 2 * (K + 1), requires_grad=True)
    terms = _loss()(logits, torch.zeros(0, dtype=torch.long))
    assert float(terms['loss_cls'].detach()) == 0 and terms['loss_cls'].requires_grad
    assert _loss(merge='average').get_activation(logits).shape == (0, K + 1)
