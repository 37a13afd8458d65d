import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from mmcv import _ext
from mmcv.ops import DeformConv2d, DeformConv2dPack, deform_conv2d
from torch.autograd import gradcheck

# Stride, padding, dilation, groups, deformable groups; unequal per direction on purpose.
LAYOUTS = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (1, 2), (1, 1), 2, 1),
    ((1, 2), (2, 0), (2, 1), 1, 2),
]


def make(layout, kernel=(3, 2), seed=0):
    stride, padding, dilation, groups, deform_groups = layout
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 4, 6, 7, dtype=torch.float64, generator=generator)
    weight = torch.randn(2, 4 // groups, *kernel, dtype=torch.float64, generator=generator)
    size = F.conv2d(features, weight, None, stride, padding, dilation, groups).shape[2:]
    channels = 2 * deform_groups * kernel[0] * kernel[1]
    offset = torch.randn(2, channels, *size, dtype=torch.float64, generator=generator)
    return features, offset, weight


def loop_conv(features, offset, weight, layout, read):
    stride, padding, dilation, groups, deform_groups = layout
    batch, out_channels = len(features), weight.size(0)
    taps = list(itertools.product(range(weight.size(2)), range(weight.size(3))))
    result = torch.zeros(batch, out_channels, *offset.shape[2:], dtype=torch.float64)
    for b, o, row, column in itertools.product(*map(range, result.shape)):
        first = o // (out_channels // groups) * weight.size(1)
        for c in range(weight.size(1)):
            channel = first + c
            group = channel // (features.size(1) // deform_groups)
            for tap, (i, j) in enumerate(taps):
                dy, dx = offset[b, 2 * (group * len(taps) + tap) :][:2, row, column].tolist()
                y = row * stride[0] - padding[0] + i * dilation[0] + dy
                x = column * stride[1] - padding[1] + j * dilation[1] + dx
                value = read(features[b, channel], y, x)
                result[b, o, row, column] += value * weight[o, c, i, j]
    return result


@pytest.mark.parametrize('layout', LAYOUTS)
def test_taps_are_read_where_the_offsets_point(layout, read_zero_padded, device):
    features, offset, weight = make(layout)
    expected = loop_conv(features, offset, weight, layout, read_zero_padded)
    output = deform_conv2d(*(t.to(device) for t in (features, offset, weight)), *layout)
    torch.testing.assert_close(output.cpu(), expected)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_zero_offset_is_a_convolution(layout):
    features, offset, weight = make(layout)
    output = deform_conv2d(features, torch.zeros_like(offset), weight, *layout)
    stride, padding, dilation, groups, _ = layout
    expected = F.conv2d(features, weight, None, stride, padding, dilation, groups)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('layout', LAYOUTS)
def test_gradients(layout):
    inputs = tuple(tensor.requires_grad_() for tensor in make(layout))
    assert gradcheck(lambda x, o, w: deform_conv2d(x, o, w, *layout), inputs)


def test_weight_gradient_alone_is_the_one_computed_with_the_others():
    layout = LAYOUTS[1]
    features, offset, weight = make(layout)
    grads = []
    for together in (True, False):
        leaves = [features.clone(), offset.clone(), weight.clone().requires_grad_()]
        leaves[1].requires_grad_(together)
        deform_conv2d(*leaves, *layout).square().sum().backward()
        grads.append(leaves[2].grad)
    assert torch.equal(*grads)


def test_weight_gradient_is_accumulated_and_scaled():
    features, offset, weight = make(LAYOUTS[0])
    options = {
        'kW': 2,
        'kH': 3,
        'dW': 1,
        'dH': 1,
        'padW': 1,
        'padH': 1,
        'dilationW': 1,
        'dilationH': 1,
        'group': 1,
        'deformable_group': 1,
        'im2col_step': 2,
    }
    grad = torch.ones(2, 2, *offset.shape[2:], dtype=torch.float64)
    once, twice = torch.zeros_like(weight), torch.ones_like(weight)
    call = _ext.deform_conv_backward_parameters
    call(features, offset, grad, once, weight.new_empty(0), None, scale=1, **options)
    call(features, offset, grad, twice, weight.new_empty(0), None, scale=3, **options)
    torch.testing.assert_close(twice, 1 + 3 * once)


def test_second_backward_through_the_same_graph_is_its_own():
    inputs = tuple(tensor.requires_grad_() for tensor in make(LAYOUTS[0]))
    output = deform_conv2d(*inputs, *LAYOUTS[0])
    first = torch.autograd.grad(output.sum(), inputs, retain_graph=True)
    second = torch.autograd.grad(2 * output.sum(), inputs)
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(two, 2 * one)


def test_layers_of_mmcv_train():
    features = torch.randn(2, 4, 8, 8)
    pack = DeformConv2dPack(4, 6, 3, padding=1, deform_groups=2)
    pack(features).sum().backward()
    assert pack.conv_offset.weight.grad.abs().sum() > 0


def test_map_smaller_than_the_kernel():
    # mmcv pads map and offset at the far sides and crops the result again.
    layer, features = DeformConv2d(4, 6, 5, padding=2), torch.randn(1, 4, 3, 3)
    output = layer(features, torch.zeros(1, 50, 3, 3))
    torch.testing.assert_close(output, F.conv2d(features, layer.weight, padding=2))


@pytest.mark.parametrize('value', [math.nan, math.inf, -1e30])
def test_an_offset_that_is_no_position_reads_zero(value, device):
    features, offset, weight = (tensor.to(device) for tensor in make(LAYOUTS[0]))
    far = offset.clone()
    offset[0, 3, 2, 2], far[0, 3, 2, 2] = value, 1000.0
    inputs = tuple(tensor.requires_grad_() for tensor in (features, offset, weight))
    output = deform_conv2d(*inputs, *LAYOUTS[0])
    assert torch.equal(output, deform_conv2d(features, far, weight, *LAYOUTS[0]))
    assert all(g.isfinite().all() for g in torch.autograd.grad(output.sum(), inputs))
