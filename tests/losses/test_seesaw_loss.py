import pytest
import torch
from torch.nn import functional as F

from mmdet.models.losses import SeesawLoss
from plugins.errors import UserError
from plugins.losses import SyncSeesawLoss
from plugins.losses.seesaw_loss import seesaw_logits


def _batch(num_rois=24, num_classes=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_rois, num_classes + 2, generator=generator) * 3
    labels = torch.randint(0, num_classes + 1, (num_rois,), generator=generator)
    return logits, labels


def _loop_loss(logits, labels, counts, p, q, eps):
    """Eq. 2, 5 and 6, one pair of classes at a time."""
    scores = logits.softmax(1)
    total = 0.0
    for z, s, i in zip(logits, scores, labels.tolist(), strict=True):
        denominator = z[i].exp()
        for j in range(len(z)):
            if j != i:
                ratio = max(counts[j].item(), 1) / max(counts[i].item(), 1)
                mitigation = min(1.0, ratio**p)
                compensation = max(1.0, (s[j] / max(s[i], eps)).item() ** q)
                denominator = denominator + mitigation * compensation * z[j].exp()
        total = total - (z[i].exp() / denominator).log()
    return total


def test_log_space_form_equals_the_equations():
    logits, labels = _batch()
    logits, labels = logits[:, :7].double(), labels.clamp(max=6)
    counts = torch.tensor([0, 1, 5, 50, 500, 5000, 50000])
    adjusted = seesaw_logits(logits, labels, counts, p=0.8, q=2.0, eps=1e-2)
    ours = F.cross_entropy(adjusted, labels, reduction='sum')
    torch.testing.assert_close(ours, _loop_loss(logits, labels, counts, 0.8, 2.0, 1e-2))


def test_without_both_factors_it_is_cross_entropy():
    logits, labels = _batch()
    loss = SyncSeesawLoss(num_classes=7, p=0.0, q=0.0)
    is_foreground = labels < 7
    expected = F.cross_entropy(logits[is_foreground, :7], labels[is_foreground], reduction='sum')
    terms = loss(logits, labels)
    torch.testing.assert_close(terms['loss_cls_classes'], expected / len(labels))


def test_equal_counts_mitigate_nothing_and_mitigation_is_one_sided():
    logits, labels = _batch()
    logits, labels = logits[:, :7], labels.clamp(max=6)
    same = seesaw_logits(logits, labels, torch.full((7,), 30), p=0.8, q=0.0, eps=0.01)
    assert torch.equal(same, logits)
    counts = torch.tensor([1, 2, 3, 4, 5, 6, 7]) * 100
    change = seesaw_logits(torch.zeros(7, 7), torch.arange(7), counts, p=0.8, q=0.0, eps=0.01)
    product = (change + change.T).exp()
    smaller = torch.minimum(counts[:, None], counts) / torch.maximum(counts[:, None], counts)
    torch.testing.assert_close(product, smaller.float() ** 0.8)


def test_more_samples_of_the_label_spare_rarer_classes():
    labels = torch.tensor([0])
    gradients = []
    for count in (100, 10000):
        logits = torch.zeros(1, 3, requires_grad=True)
        counts = torch.tensor([count, 10, 10])
        adjusted = seesaw_logits(logits, labels, counts, p=0.8, q=0.0, eps=0.01)
        F.cross_entropy(adjusted, labels).backward()
        gradients.append(logits.grad[0, 1].item())
    assert gradients[0] > gradients[1] > 0


def test_background_teaches_the_classes_nothing():
    logits, _ = _batch()
    logits.requires_grad_()
    terms = SyncSeesawLoss(num_classes=7)(logits, torch.full((24,), 7))
    sum(terms.values()).backward()
    assert (logits.grad[:, :7] == 0).all() and (logits.grad[:, 7:] != 0).all()


def test_counts_grow_by_all_rois_in_training_only():
    logits, labels = _batch()
    loss = SyncSeesawLoss(num_classes=7)
    loss(logits, labels, torch.zeros(24))
    assert torch.equal(loss.cum_samples, torch.bincount(labels, minlength=8))
    loss.eval()
    loss(logits, labels)
    assert loss.cum_samples.sum() == 24


def test_counts_are_exact_beyond_float32():
    loss = SyncSeesawLoss(num_classes=2)
    loss.cum_samples.fill_(2**24)
    loss(torch.zeros(1, 4), torch.tensor([1]))
    assert loss.cum_samples.tolist() == [2**24, 2**24 + 1, 2**24]


def test_checkpoint_of_the_stock_loss_loads():
    stock = SeesawLoss(num_classes=7)
    stock.cum_samples += torch.arange(8) * 3
    loss = SyncSeesawLoss(num_classes=7)
    loss.load_state_dict(stock.state_dict())
    assert loss.cum_samples.dtype == torch.int64
    assert loss.cum_samples.tolist() == [0, 3, 6, 9, 12, 15, 18, 21]


def test_counts_are_forgotten_only_on_request_and_never_when_resuming():
    for reset, resumed, kept in ((False, False, 4), (True, False, 0), (True, True, 4)):
        loss = SyncSeesawLoss(num_classes=3, reset_counts=reset)
        loss.cum_samples.fill_(4)
        loss.start_training(seed=0, resumed=resumed)
        assert (loss.cum_samples == kept).all()


def test_scores_sum_to_one_and_accuracy_tells_both_branches():
    logits, labels = _batch()
    loss = SyncSeesawLoss(num_classes=7)
    scores = loss.get_activation(logits)
    assert scores.shape == (24, 8)
    torch.testing.assert_close(scores.sum(1), torch.ones(24))
    perfect = F.one_hot(labels, 8)[:, :7] * 50.0
    is_background = (labels == 7).float()[:, None]
    perfect = torch.cat([perfect, 50 * (1 - is_background), 50 * is_background], 1)
    assert loss.get_accuracy(perfect, labels) == dict(acc_classes=100.0, acc_objectness=100.0)


def test_half_precision_logits_give_the_float32_loss():
    logits, labels = _batch()
    logits = logits.half()
    with torch.autocast('cpu', torch.bfloat16):
        terms = SyncSeesawLoss(num_classes=7)(logits, labels)
    expected = SyncSeesawLoss(num_classes=7)(logits.float(), labels)
    assert {name: value.item() for name, value in terms.items()} == {
        name: value.item() for name, value in expected.items()
    }


@pytest.mark.parametrize('bad', [dict(p=-1.0), dict(q=-0.1), dict(eps=0.0)])
def test_impossible_exponents_are_refused(bad):
    with pytest.raises(UserError, match='p, q >= 0'):
        SyncSeesawLoss(**bad)
