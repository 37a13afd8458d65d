import itertools

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch.autograd import gradcheck

SHAPES = [(4, 5), (2, 3)]
HEADS, DEPTH, QUERIES, POINTS = 2, 3, 4, 2


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    keys = sum(height * width for height, width in SHAPES)
    value = torch.randn(2, keys, HEADS, DEPTH, dtype=torch.float64, generator=generator)
    shape = (2, QUERIES, HEADS, len(SHAPES), POINTS)
    # Some points lie outside the map.
    place = torch.rand(*shape, 2, dtype=torch.float64, generator=generator) * 1.6 - 0.3
    weight = torch.rand(*shape, dtype=torch.float64, generator=generator)
    return value, place, weight


def attend(value, place, weight):
    shapes = torch.tensor(SHAPES, device=value.device)
    starts = torch.tensor([0, SHAPES[0][0] * SHAPES[0][1]], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(value, shapes, starts, place, weight, 64)


def test_output_is_the_weighted_sum_of_samples(inputs, read_zero_padded):
    value, place, weight = inputs
    expected = torch.zeros(2, QUERIES, HEADS, DEPTH, dtype=torch.float64)
    for b, q, head, d in itertools.product(*map(range, expected.shape)):
        start = 0
        for level, (height, width) in enumerate(SHAPES):
            plane = value[b, start : start + height * width, head, d].reshape(height, width)
            start += height * width
            for point in range(POINTS):
                x, y = place[b, q, head, level, point].tolist()
                sample = read_zero_padded(plane, y * height - 0.5, x * width - 0.5)
                expected[b, q, head, d] += sample * weight[b, q, head, level, point]
    torch.testing.assert_close(attend(*inputs), expected.flatten(2))


def test_output_is_that_of_mmcvs_own_python_version(inputs, device):
    value, place, weight = (tensor.to(device) for tensor in inputs)
    expected = multi_scale_deformable_attn_pytorch(value, torch.tensor(SHAPES), place, weight)
    torch.testing.assert_close(attend(value, place, weight), expected)


def test_gradients(inputs):
    assert gradcheck(attend, tuple(tensor.requires_grad_() for tensor in inputs))


def test_levels_are_found_by_their_start(inputs):
    value, place, weight = inputs
    first = SHAPES[0][0] * SHAPES[0][1]
    gap = torch.full((2, 7, HEADS, DEPTH), 1e6, dtype=torch.float64)
    spread = torch.cat([value[:, :first], gap, value[:, first:]], dim=1)
    starts = torch.tensor([0, first + 7])
    output = MultiScaleDeformableAttnFunction.apply(
        spread, torch.tensor(SHAPES), starts, place, weight, 64
    )
    assert torch.equal(output, attend(*inputs))
