import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import ModulatedDeformConv2dPack, deform_conv2d, modulated_deform_conv2d
from torch.autograd import gradcheck

LAYOUTS = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (1, 2), (1, 1), 2, 1),
    ((1, 2), (2, 0), (2, 1), 1, 2),
]


def make(layout, kernel=(3, 2)):
    stride, padding, dilation, groups, deform_groups = layout
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    features, weight, bias = draw(2, 4, 6, 7), draw(2, 4 // groups, *kernel), draw(2)
    size = F.conv2d(features, weight, None, stride, padding, dilation, groups).shape[2:]
    taps = deform_groups * kernel[0] * kernel[1]
    return features, draw(2, 2 * taps, *size), draw(2, taps, *size), weight, bias


@pytest.mark.parametrize('layout', LAYOUTS)
def test_unit_factors_give_the_first_version_plus_bias(layout, device):
    features, offset, mask, weight, bias = (tensor.to(device) for tensor in make(layout))
    output = modulated_deform_conv2d(features, offset, torch.ones_like(mask), weight, bias, *layout)
    expected = deform_conv2d(features, offset, weight, *layout) + bias[:, None, None]
    torch.testing.assert_close(output, expected)


def test_each_factor_scales_its_own_tap():
    layout = ((1, 1), (1, 1), (1, 1), 1, 2)
    features, offset, mask, weight, _ = make(layout)
    output = modulated_deform_conv2d(features, offset, mask, weight, None, *layout)
    expected = torch.zeros_like(output)
    for tap in range(6):
        for group in range(2):
            # One tap of one deformable group alone: its factor comes out of the sum.
            single = torch.zeros_like(weight)
            channels = slice(2 * group, 2 * group + 2)
            single[:, channels, tap // 2, tap % 2] = weight[:, channels, tap // 2, tap % 2]
            part = deform_conv2d(features, offset, single, *layout)
            expected += part * mask[:, group * 6 + tap][:, None]
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('with_bias', [True, False])
def test_gradients(layout, with_bias):
    inputs = make(layout)[: 5 if with_bias else 4]
    inputs = tuple(tensor.requires_grad_() for tensor in inputs)

    def convolve(features, offset, mask, weight, bias=None):
        return modulated_deform_conv2d(features, offset, mask, weight, bias, *layout)

    assert gradcheck(convolve, inputs)


@pytest.mark.parametrize('layout_in_memory', [torch.contiguous_format, torch.channels_last])
def test_larger_offset_maps_are_read_from_their_beginning(layout_in_memory):
    # mmdet's DyHead passes the maps of a finer level; compiled code reads its memory in order.
    layout = ((1, 1), (1, 1), (1, 1), 1, 1)
    features, offset, mask, weight, bias = make(layout, kernel=(3, 3))
    finer = [torch.randn(2, maps.size(1), 11, 13, dtype=torch.float64) for maps in (offset, mask)]
    size = offset.shape[2:]
    leading = []
    for maps in finer:
        count = maps.size(1) * size[0] * size[1]
        image_memory = maps.reshape(2, -1)[:, :count]
        leading.append(image_memory.reshape(2, maps.size(1), *size).requires_grad_())
    finer = [maps.contiguous(memory_format=layout_in_memory).requires_grad_() for maps in finer]
    ours = modulated_deform_conv2d(features, *finer, weight, bias, *layout)
    expected = modulated_deform_conv2d(features, *leading, weight, bias, *layout)
    assert torch.equal(ours, expected)
    ours.square().sum().backward()
    expected.square().sum().backward()
    for maps, part in zip(finer, leading, strict=True):
        flat = maps.grad.reshape(2, -1)
        count = part[0].numel()
        assert torch.equal(flat[:, :count], part.grad.reshape(2, -1))
        assert flat[:, count:].abs().max() == 0


def test_offset_maps_that_are_too_small_are_an_error():
    layout = LAYOUTS[0]
    features, offset, mask, weight, bias = make(layout)
    with pytest.raises(ValueError, match=r'\(2, 2\) for an output of'):
        modulated_deform_conv2d(
            features, offset[..., :2, :2], mask[..., :2, :2], weight, bias, *layout
        )


def test_layer_of_mmcv_trains():
    pack = ModulatedDeformConv2dPack(4, 6, 3, padding=1, deform_groups=2)
    pack(torch.randn(2, 4, 8, 8)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in pack.parameters())


def test_an_offset_that_is_not_a_number_reads_zero():
    features, offset, mask, weight, bias = make(LAYOUTS[0])
    far = offset.clone()
    offset[0, 3, 2, 2], far[0, 3, 2, 2] = float('nan'), 1000.0
    output = modulated_deform_conv2d(features, offset, mask, weight, bias, *LAYOUTS[0])
    expected = modulated_deform_conv2d(features, far, mask, weight, bias, *LAYOUTS[0])
    assert torch.equal(output, expected)
