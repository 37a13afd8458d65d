import pytest
import torch

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.layers import NormalizedConv2d, normalized_linear


def test_every_position_is_a_normalised_linear_layer():
    torch.manual_seed(0)
    layer = NormalizedConv2d(16, 5, 1, temperature=30)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 16, 3, 4)
    out = layer(x)
    weight = layer.weight[:, :, 0, 0]
    for n in range(2):
        for row in range(3):
            for column in range(4):
                here = normalized_linear(x[n : n + 1, :, row, column], weight, layer.bias, 30)
                torch.testing.assert_close(out[n, :, row, column], here[0])


def test_position_without_any_feature_gets_the_bias_and_a_finite_gradient():
    layer = NormalizedConv2d(4, 3)
    torch.nn.init.normal_(layer.bias)
    x = torch.zeros(1, 4, 2, 2, requires_grad=True)
    out = layer(x)
    assert torch.equal(out[0, :, 1, 1], layer.bias)
    out.sum().backward()
    assert torch.isfinite(x.grad).all() and torch.isfinite(layer.weight.grad).all()


def _mask_head(**predictor):
    head = MODELS.build(
        dict(
            type='FCNMaskHead',
            num_convs=1,
            in_channels=8,
            conv_out_channels=8,
            num_classes=6,
            predictor_cfg=dict(type='NormalizedConv2d', **predictor),
        )
    )
    head.init_weights()
    return head


def test_mask_head_takes_it_as_predictor():
    torch.manual_seed(0)
    head = _mask_head(temperature=10.0)
    assert isinstance(head.conv_logits, NormalizedConv2d)
    assert head.conv_logits.weight.std() > 0 and not head.conv_logits.bias.any()
    logits = head(torch.randn(3, 8, 14, 14))
    assert logits.shape == (3, 6, 28, 28)
    assert 0.1 < logits.abs().max() <= 10
    logits.sum().backward()
    assert head.conv_logits.weight.grad.any()


def test_no_roi_keeps_every_weight_in_the_graph():
    head = _mask_head()
    head(torch.zeros(0, 8, 14, 14)).sum().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_temperature_must_be_positive():
    with pytest.raises(UserError, match=r'mask_head\.predictor_cfg\.temperature is 0'):
        _mask_head(temperature=0)
