import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import MaskedConv2d, masked_conv2d


@pytest.mark.parametrize(('kernel', 'padding'), [((3, 3), (1, 1)), ((1, 3), (0, 1))])
def test_chosen_pixels_get_the_convolution_and_the_others_zero(kernel, padding, device):
    torch.manual_seed(0)
    features = torch.randn(1, 3, 6, 7, device=device)
    weight, bias = torch.randn(4, 3, *kernel, device=device), torch.randn(4, device=device)
    mask = (torch.rand(1, 6, 7, device=device) > 0.5).float()
    output = masked_conv2d(features, mask, weight, bias, padding)
    expected = F.conv2d(features, weight, bias, padding=padding) * mask[:, None]
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)


def test_nothing_chosen_gives_zeros():
    layer = MaskedConv2d(3, 4, 3, padding=1)
    output = layer(torch.randn(1, 3, 5, 5), torch.zeros(1, 5, 5))
    assert output.shape == (1, 4, 5, 5) and output.abs().max() == 0
