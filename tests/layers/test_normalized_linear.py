import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmdet.models.layers import NormedLinear
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.layers import NormalizedLinear, normalized_linear


def _layer(weight, bias=None, temperature=20.0):
    layer = NormalizedLinear(
        weight.shape[1], weight.shape[0], temperature=temperature, bias=bias is not None
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


@pytest.mark.parametrize('case', ['00', '02'])
def test_values_and_gradients_equal_the_recorded_ones(shared, case):
    data = np.load(shared / f'golden/longtail/normed_linear_{case}.npz')
    x, weight, bias, grad_out, grad_x, grad_weight = (
        torch.from_numpy(data[key])
        for key in ('x', 'weight', 'bias', 'grad_out', 'grad_x', 'grad_weight')
    )
    layer = _layer(weight, bias, float(data['tau']))
    x.requires_grad_()
    out = layer(x)
    out.backward(grad_out)
    for expected in ('out_mmdet', 'out_seed002'):
        torch.testing.assert_close(out, torch.from_numpy(data[expected]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(x.grad, grad_x, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.weight.grad, grad_weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('temperature', [20, 50])
def test_recorded_scores_with_a_zero_feature(shared, temperature):
    data = np.load(shared / 'golden/models/scores_a.npz')
    x, weight, bias = (torch.from_numpy(data[f'normed_{key}']) for key in 'xwb')
    out = normalized_linear(x, weight, bias, temperature)
    expected = torch.from_numpy(data[f'normed_out_eps1e-6_t{temperature}'])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    assert not x[0].any() and torch.equal(out[0], bias)


def test_logit_is_the_cosine_of_each_pair():
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 16, generator=generator, dtype=torch.float64) for n in (5, 4))
    out = normalized_linear(x, weight, None, 30.0)
    for i in range(5):
        for c in range(4):
            cosine = F.cosine_similarity(x[i], weight[c], dim=0)
            assert out[i, c] == pytest.approx(30 * cosine.item(), rel=1e-5, abs=1e-5)


def test_neither_length_counts():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(6, 64, generator=generator), torch.randn(9, 64, generator=generator)
    bias = torch.randn(9, generator=generator)
    expected = normalized_linear(x, weight, bias, 20.0)
    for factor in (0.1, 1000.0):
        scaled = weight.clone()
        scaled[3] *= factor
        torch.testing.assert_close(normalized_linear(x * factor, weight, bias, 20.0), expected)
        torch.testing.assert_close(normalized_linear(x, scaled, bias, 20.0), expected)


def test_logits_stay_within_the_temperature_of_the_bias():
    weight, bias = torch.randn(8, 1024), torch.randn(8)
    x = torch.cat([weight * 50, -weight * 50])  # every cosine of 1 and -1
    distance = (normalized_linear(x, weight, bias, 20.0) - bias).abs()
    assert distance.max() <= 20 * (1 + 1e-6) and distance.max() > 19.99


def test_zero_feature_gives_the_bias_and_a_finite_gradient():
    layer = _layer(torch.randn(4, 8), torch.tensor([1.0, -2.0, 3.0, 0.5]))
    x = torch.zeros(2, 8, requires_grad=True)
    out = layer(x)
    assert torch.equal(out, layer.bias.expand(2, 4))
    out.square().sum().backward()
    for gradient in (x.grad, layer.weight.grad, layer.bias.grad):
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_features_are_measured_in_float32(dtype):
    """The squares of these features leave the range of float16."""
    torch.manual_seed(0)
    x = (torch.randn(4, 1024) * 300).to(dtype)
    weight = torch.randn(5, 1024)
    expected = normalized_linear(x.float(), weight, None, 20.0)
    with torch.autocast('cpu', dtype=dtype):
        out = normalized_linear(x, weight, None, 20.0)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=0, atol=0.05)


def test_weights_start_small_and_without_bias():
    torch.manual_seed(0)
    layer = NormalizedLinear(1024, 500)
    assert layer.temperature == 20 and not layer.bias.any()
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.01)


def test_config_of_a_head_builds_it_with_and_without_rois():
    layer = MODELS.build(
        dict(type='NormalizedLinear', in_features=8, out_features=3, temperature=5)
    )
    assert not isinstance(layer, NormedLinear) and layer.temperature == 5
    x = torch.zeros(0, 8, requires_grad=True)
    out = layer(x)
    assert out.shape == (0, 3)
    out.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


@pytest.mark.parametrize('temperature', [0, -20, float('nan')])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(UserError, match=r'cls_predictor_cfg\.temperature is .* above 0'):
        NormalizedLinear(8, 3, temperature=temperature)
