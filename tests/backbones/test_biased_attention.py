"""Against the plain formula in 64 bits."""

import pytest
import torch

from plugins.backbones.biased_attention import biased_attention


def _inputs(dtype=torch.float32, windows=3, tokens=9, heads=2, width=5):
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(windows, tokens, 3, heads, width, generator=generator, dtype=torch.float64)
    bias = torch.randn(heads, tokens, tokens, generator=generator, dtype=torch.float64)
    return [value.to(dtype).requires_grad_() for value in (qkv, bias)]


def _plain(qkv, bias, scale):
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    weights = (scale * query @ key.transpose(-2, -1) + bias).softmax(-1)
    return (weights @ value).transpose(1, 2)


def _run(function, inputs):
    out = function(*inputs)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out.detach(), *torch.autograd.grad(out, inputs, weights)]


@pytest.mark.parametrize(
    ('dtype', 'tolerance'),
    [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)],
    ids=str,
)
def test_values_and_gradients_are_those_of_the_formula(dtype, tolerance):
    inputs = _inputs(dtype)
    expected = _run(
        lambda q, b: _plain(q, b, 0.3), [v.detach().double().requires_grad_() for v in inputs]
    )
    for mine, value in zip(
        _run(lambda q, b: biased_attention(q, b, scale=0.3), inputs), expected, strict=True
    ):
        assert mine.dtype == dtype
        assert (mine - value).norm() <= tolerance * value.norm()


def test_gradients_agree_with_differences():
    inputs = _inputs(torch.float64, windows=2, tokens=4, width=2)
    assert torch.autograd.gradcheck(lambda q, b: biased_attention(q, b, scale=0.7), inputs)


def test_attention_weights_are_not_kept():
    qkv, bias = _inputs(windows=20, tokens=49)
    kept = {}

    def keep(value):
        kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        biased_attention(qkv, bias, scale=1.0)
    assert sum(kept.values()) <= qkv.nbytes + bias.nbytes


def test_dropped_weights_average_out_to_the_formula():
    torch.manual_seed(0)
    qkv, bias = _inputs()
    qkv = qkv.detach()
    with torch.no_grad():
        expected = biased_attention(qkv, bias, scale=1.0)
        draws = torch.stack(
            [biased_attention(qkv, bias, scale=1.0, dropout=0.5) for _ in range(2000)]
        )
    assert not torch.allclose(draws[0], expected, atol=0.1)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - expected).abs() <= 5 * error + 1e-6).all()
