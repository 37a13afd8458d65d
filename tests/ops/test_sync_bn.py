import pytest
import torch
import torch.nn.functional as F
from mmcv import _ext
from mmcv.ops.sync_bn import SyncBatchNormFunction


def normalise(features, mean, var, weight, bias):
    """mmcv's function for one rank: (momentum, eps, group, group size, statistics mode)."""
    return SyncBatchNormFunction.apply(
        features, mean, var, weight, bias, 0.1, 1e-5, None, 1, 'default'
    )


def make(device):
    torch.manual_seed(0)
    features = torch.randn(3, 4, 5, 6, device=device) * 2 + 1
    weight, bias = torch.randn(4, device=device), torch.randn(4, device=device)
    return [tensor.requires_grad_() for tensor in (features, weight, bias)]


def test_values_gradients_and_statistics_are_batch_norms(device):
    results = []
    for function in (normalise, lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, True, 0.1, 1e-5)):
        features, weight, bias = make(device)
        mean, var = torch.zeros(4, device=device), torch.ones(4, device=device)
        output = function(features, mean, var, weight, bias)
        torch.manual_seed(1)
        (output * torch.randn(output.shape).to(device)).sum().backward()
        results.append((output, mean, var, features.grad, weight.grad, bias.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-5)


def test_statistics_of_two_ranks_combine_to_those_of_the_whole_batch():
    features = torch.randn(4, 3, 10, dtype=torch.float32)
    means = [torch.zeros(3) for _ in range(2)]
    for rank, mean in enumerate(means):
        _ext.sync_bn_forward_mean(features[2 * rank : 2 * rank + 2], mean)
    mean = sum(means) / 2
    torch.testing.assert_close(mean, features.mean(dim=(0, 2)))
    variances = [torch.zeros(3) for _ in range(2)]
    for rank, var in enumerate(variances):
        _ext.sync_bn_forward_var(features[2 * rank : 2 * rank + 2], mean, var)
    expected = features.var(dim=(0, 2), unbiased=False)
    torch.testing.assert_close(sum(variances) / 2, expected)
    running = torch.zeros(3), torch.ones(3)
    half = features[:2]
    _ext.sync_bn_forward_output(
        half,
        mean,
        expected,
        None,
        None,
        *running,
        torch.zeros_like(half),
        torch.zeros(3),
        torch.zeros_like(half),
        eps=1e-5,
        momentum=1.0,
        group_size=2,
    )
    torch.testing.assert_close(running[1], features.var(dim=(0, 2), unbiased=True))


@pytest.mark.parametrize('batch', [0, 2])
def test_half_precision_and_empty_batches(batch):
    features = torch.randn(batch, 4, 5, 5).half().requires_grad_()
    mean, var = torch.zeros(4), torch.ones(4)
    weight, bias = (torch.full((4,), value, requires_grad=True) for value in (1.5, 0.5))
    output = normalise(features, mean, var, weight, bias)
    assert output.dtype == torch.float16 and output.isfinite().all()
    output.float().square().sum().backward()
    assert features.grad.isfinite().all() and weight.grad.isfinite().all()
    if batch:
        expected = F.batch_norm(features.float(), None, None, weight, bias, True, eps=1e-5)
        torch.testing.assert_close(output.float(), expected, atol=2e-3, rtol=2e-3)
    else:
        assert torch.equal(mean, torch.zeros(4)), 'an empty batch must not move the statistics'


def test_without_running_statistics_and_scale():
    features = torch.randn(2, 3, 7)
    mean, var = features.mean(dim=(0, 2)), features.var(dim=(0, 2), unbiased=False)
    output = torch.zeros_like(features)
    _ext.sync_bn_forward_output(
        features,
        mean,
        var,
        None,
        None,
        None,
        None,
        torch.zeros(0),
        torch.zeros(3),
        output,
        eps=1e-5,
        momentum=0.1,
        group_size=1,
    )
    expected = F.batch_norm(features, None, None, training=True, eps=1e-5)
    torch.testing.assert_close(output, expected)
