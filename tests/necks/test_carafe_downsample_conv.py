import pytest
import torch
import torch.nn.functional as F

from plugins.errors import UserError
from plugins.necks.carafe_downsample_conv import CarafeDownsampleConv


def make(**options):
    torch.manual_seed(0)
    return CarafeDownsampleConv(8, 12, compressed_channels=6, **options)


def test_kernels_are_almost_equal_at_the_start():
    layer, x = make(), torch.randn(2, 8, 9, 6)
    mean = F.avg_pool2d(x, 5, stride=2, padding=2)
    torch.testing.assert_close(layer(x), layer.conv(mean), atol=0.01, rtol=0)


def test_zero_encoder_gives_the_strided_mean_of_boxes():
    layer, x = make(order=('act', 'conv', 'norm'), inplace=False), torch.randn(1, 8, 7, 10)
    torch.nn.init.zeros_(layer.content_encoder.weight)
    mean = F.avg_pool2d(x, 5, stride=2, padding=2)
    torch.testing.assert_close(layer(x), layer.conv(mean))


@pytest.mark.parametrize('size', [(8, 8), (7, 5), (2, 1), (1, 1)])
def test_size_is_halved_rounding_up(size):
    assert make()(torch.randn(1, 8, *size)).shape[2:] == tuple((n + 1) // 2 for n in size)


def test_every_parameter_learns():
    layer = make(down_group=2, norm_cfg=dict(type='BN'))
    layer(torch.randn(2, 8, 6, 6)).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name


def test_mixed_precision_keeps_kernels_in_float32():
    layer, x = make(), torch.randn(1, 8, 6, 6)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert layer._predict_kernels(x).dtype == torch.float32
        output = layer(x)
    torch.testing.assert_close(output.float(), layer(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ('option', 'key'),
    [
        (dict(down_kernel=4), 'down_kernel'),
        (dict(kernel_size=2), 'kernel_size'),
        (dict(down_group=3), 'down_group'),
    ],
)
def test_impossible_option_is_named(option, key):
    with pytest.raises(UserError, match=f'neck.same_up_trans.{key} is'):
        make(**option)
