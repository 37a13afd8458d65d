import itertools

import numpy as np
import pytest
import torch
from mmcv import _ext
from mmcv.ops import CARAFEPack, carafe, carafe_naive
from torch.autograd import gradcheck

CASES = [(3, 1, 2), (5, 2, 2), (3, 4, 3), (1, 1, 1)]


def make(kernel, group, scale, size=(2, 4, 4, 5)):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(*size, dtype=torch.float64, generator=generator)
    masks = torch.randn(
        size[0],
        group * kernel**2,
        size[2] * scale,
        size[3] * scale,
        dtype=torch.float64,
        generator=generator,
    )
    return features, masks


def loop_carafe(features, masks, kernel, group, scale):
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, height * scale, width * scale, dtype=torch.float64)
    for b, c, y, x in itertools.product(*map(range, result.shape)):
        for i, j in itertools.product(range(kernel), repeat=2):
            row, column = y // scale + i - kernel // 2, x // scale + j - kernel // 2
            if 0 <= row < height and 0 <= column < width:
                tap = (c // (channels // group) * kernel + i) * kernel + j
                result[b, c, y, x] += features[b, c, row, column] * masks[b, tap, y, x]
    return result


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('operator', [carafe, carafe_naive])
def test_output_is_the_weighted_neighbourhood(case, operator, device):
    features, masks = make(*case)
    output = operator(features.to(device), masks.to(device), *case)
    torch.testing.assert_close(output.cpu(), loop_carafe(features, masks, *case))


def test_golden_values(shared):
    with np.load(shared / 'golden' / 'models' / 'carafe_a.npz') as arrays:
        case = [int(arrays[key]) for key in ('kernel', 'group', 'scale')]
        output = carafe(torch.from_numpy(arrays['x']), torch.from_numpy(arrays['mask']), *case)
        expected = torch.from_numpy(arrays['out'])
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('case', CASES)
def test_gradients(case):
    inputs = tuple(tensor.requires_grad_() for tensor in make(*case, size=(1, 4, 2, 3)))
    assert gradcheck(lambda x, m: carafe(x, m, *case), inputs)


def test_naive_gradients_are_the_same():
    # mmcv's Python side of the naive form insists on CUDA, so its entry point is called directly.
    case = (3, 2, 2)
    features, masks = (tensor.requires_grad_() for tensor in make(*case))
    output = carafe(features, masks, *case)
    grad = torch.randn_like(output)
    expected = torch.autograd.grad(output, (features, masks), grad)
    buffers = torch.zeros_like(features), torch.zeros_like(masks)
    _ext.carafe_naive_backward(grad, features.detach(), masks.detach(), *buffers, *case)
    assert torch.equal(buffers[0], expected[0]) and torch.equal(buffers[1], expected[1])


def test_layer_of_mmcv_trains():
    pack = CARAFEPack(4, 2)
    output = pack(torch.randn(2, 4, 4, 5))
    assert output.shape == (2, 4, 8, 10)
    output.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in pack.parameters())


def test_kernels_that_sum_to_one_keep_a_constant_map_inside():
    masks = make(3, 1, 2)[1].softmax(dim=1)
    output = carafe(torch.ones(2, 4, 4, 5, dtype=torch.float64), masks, 3, 1, 2)
    inside = output[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.ones_like(inside))
    assert output[:, :, 0, 0].max() < 1, 'outside the map there is nothing'
