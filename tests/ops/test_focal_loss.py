import pytest
import torch
import torch.nn.functional as F
import torchvision
from mmcv import _ext
from mmcv.ops import sigmoid_focal_loss, softmax_focal_loss
from torch.autograd import gradcheck


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(8, 5, dtype=torch.float64, generator=generator)


# Class 5 of 5 is background.
TARGET = torch.tensor([0, 4, 5, 2, 2, 5, 1, 3])
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 0.25, 3.0], dtype=torch.float64)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (0.5, 0.75)])
@pytest.mark.parametrize('reduction', ['none', 'mean', 'sum'])
def test_sigmoid_loss_is_torchvisions(logits, gamma, alpha, reduction, device):
    one_hot = F.one_hot(TARGET, 6)[:, :5].double()
    expected = torchvision.ops.sigmoid_focal_loss(logits, one_hot, alpha, gamma)
    if reduction != 'none':
        expected = expected.sum() / (len(logits) if reduction == 'mean' else 1)
    arguments = logits.to(device), TARGET.to(device), gamma, alpha, None, reduction
    torch.testing.assert_close(sigmoid_focal_loss(*arguments).cpu(), expected)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.5), (0.5, 0.75)])
@pytest.mark.parametrize('weight', [None, WEIGHT])
def test_sigmoid_gradient(logits, gamma, alpha, weight):
    logits.requires_grad_()
    assert gradcheck(lambda x: sigmoid_focal_loss(x, TARGET, gamma, alpha, weight, 'none'), logits)


def test_sigmoid_rows_are_weighted_by_their_class_and_background_by_one(logits):
    plain = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, None, 'none')
    weighted = sigmoid_focal_loss(logits, TARGET, 2.0, 0.25, WEIGHT, 'none')
    factor = torch.cat([WEIGHT, torch.ones(1, dtype=torch.float64)])[TARGET]
    torch.testing.assert_close(weighted, plain * factor[:, None])


def test_softmax_loss_is_the_formula(logits, device):
    target = TARGET.clamp(max=4)
    prob = logits.softmax(dim=1)[torch.arange(8), target]
    expected = -0.25 * (1 - prob) ** 2 * prob.log()
    output = softmax_focal_loss(logits.to(device), target.to(device), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(output.cpu(), expected)
    weighted = softmax_focal_loss(logits, target, 2.0, 0.25, WEIGHT, 'none')
    torch.testing.assert_close(weighted, expected * WEIGHT[target])


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('weight', [None, WEIGHT])
@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_softmax_gradient(logits, gamma, weight, reduction):
    target = TARGET.clamp(max=4)
    logits.requires_grad_()
    # mmcv takes the softmax in place of its input's copy, so every call needs a fresh one.
    assert gradcheck(
        lambda x: softmax_focal_loss(x.clone(), target, gamma, 0.25, weight, reduction), logits
    )


def test_softmax_ignores_negative_targets(logits):
    target = torch.tensor([-1, 4, -1, 2, 2, 0, 1, 3])
    logits.requires_grad_()
    loss = softmax_focal_loss(logits.clone(), target, 2.0, 0.25, None, 'sum')
    loss.backward()
    assert (logits.grad.abs().sum(dim=1) > 0).tolist() == (target >= 0).tolist()
    plain = softmax_focal_loss(logits.detach(), target, 2.0, 0.25, None, 'none')
    assert plain[0] == 0 and plain[2] == 0


@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_certain_rows_stay_finite(gamma):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]])
    target, none = torch.tensor([0, 0]), torch.zeros(0)
    loss, grad = torch.zeros(2, 2), torch.zeros(2, 2)
    _ext.sigmoid_focal_loss_forward(logits, target, none, loss, gamma, 0.25)
    _ext.sigmoid_focal_loss_backward(logits, target, none, grad, gamma, 0.25)
    assert loss.isfinite().all() and grad.isfinite().all()
    assert loss[0].abs().max() == 0 and loss[1].min() > 0
    prob, row = logits.softmax(dim=1), torch.zeros(2)
    _ext.softmax_focal_loss_backward(prob, target, none, row, grad, gamma, 0.25)
    assert grad.isfinite().all() and grad[0].abs().max() == 0
