"""Down-sampling by predicted kernels, against loops, the up-sampler and its golden values."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import carafe
from torch.autograd import gradcheck

from plugins.necks import carafe_downsample

CASES = [(5, 1, 4, 6), (5, 2, 5, 7), (3, 4, 1, 1), (1, 1, 3, 2)]  # kernel, groups, height, width


def make(kernel, groups, height, width, channels=4):
    generator = torch.Generator().manual_seed(0)
    halves = ((height + 1) // 2, (width + 1) // 2)
    features = torch.randn(2, channels, height, width, dtype=torch.float64, generator=generator)
    kernels = torch.randn(2, groups * kernel**2, *halves, dtype=torch.float64, generator=generator)
    return features, kernels


def loop_downsample(features, kernels, kernel, groups):
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, *kernels.shape[2:], dtype=torch.float64)
    for b, c, y, x in itertools.product(*map(range, result.shape)):
        for i, j in itertools.product(range(kernel), repeat=2):
            row, column = 2 * y + i - kernel // 2, 2 * x + j - kernel // 2
            if 0 <= row < height and 0 <= column < width:
                tap = (c // (channels // groups) * kernel + i) * kernel + j
                result[b, c, y, x] += features[b, c, row, column] * kernels[b, tap, y, x]
    return result


@pytest.mark.parametrize('case', CASES)
def test_output_is_the_weighted_neighbourhood_of_every_second_pixel(case):
    features, kernels = make(*case)
    output = carafe_downsample(features, kernels, *case[:2])
    torch.testing.assert_close(output, loop_downsample(features, kernels, *case[:2]))


@pytest.mark.parametrize('case', CASES)
def test_gradients(case):
    features, kernels = (tensor.requires_grad_() for tensor in make(*case))
    assert gradcheck(lambda x, k: carafe_downsample(x, k, *case[:2]), (features, kernels))


@pytest.mark.parametrize('groups', [1, 2])
def test_it_is_reassembly_at_the_same_size_at_every_second_pixel(groups):
    features, kernels = make(5, groups, 6, 8)
    everywhere = torch.zeros(2, groups * 25, 6, 8, dtype=torch.float64)
    everywhere[:, :, ::2, ::2] = kernels
    same_size = carafe(features, everywhere, 5, groups, 1)
    torch.testing.assert_close(
        carafe_downsample(features, kernels, 5, groups), same_size[:, :, ::2, ::2]
    )


def test_golden_values_of_the_up_sampler(shared):
    """Of the kernels for twice the size, one in four stands at the pixel that is kept."""
    with np.load(shared / 'golden' / 'models' / 'carafe_a.npz') as arrays:
        assert int(arrays['scale']) == 2
        x, kernels, expected = (torch.from_numpy(arrays[key]) for key in ('x', 'mask', 'out'))
        options = int(arrays['kernel']), int(arrays['group'])
    for row, column in itertools.product(range(2), repeat=2):
        output = carafe_downsample(x, kernels[:, :, row::4, column::4].contiguous(), *options)
        torch.testing.assert_close(output, expected[:, :, row::4, column::4], atol=1e-6, rtol=1e-5)


def test_equal_kernels_give_the_strided_mean_of_boxes():
    features, _ = make(5, 1, 7, 9)
    output = carafe_downsample(features, torch.full((2, 25, 4, 5), 1 / 25).double(), 5, 1)
    expected = F.avg_pool2d(features, 5, stride=2, padding=2)
    torch.testing.assert_close(output, expected, atol=1e-7, rtol=1e-6)


def test_half_precision_is_summed_in_float32():
    features, kernels = (tensor.float() for tensor in make(5, 1, 8, 8))
    kernels = kernels.softmax(dim=1)
    output = carafe_downsample(features.bfloat16(), kernels, 5, 1)
    assert output.dtype == torch.bfloat16
    expected = carafe_downsample(features.bfloat16().float(), kernels, 5, 1).bfloat16()
    assert torch.equal(output, expected)


def test_no_image_and_a_map_that_needs_no_gradient():
    _, kernels = make(5, 1, 4, 4)
    kernels.requires_grad_()
    output = carafe_downsample(torch.zeros(0, 4, 4, 4).double(), kernels[:0], 5, 1)
    assert output.shape == (0, 4, 2, 2)
    output = carafe_downsample(torch.ones(2, 4, 4, 4).double(), kernels, 5, 1)
    output.sum().backward()
    # The corner's kernel reads the map with 9 of its taps, from all 4 channels.
    assert kernels.grad[0, :, 0, 0].tolist() == [
        4.0 * (row >= 2 and column >= 2) for row in range(5) for column in range(5)
    ]
