"""Against the pad, shift and cut of mmdet's module, and the mask it builds in every pass."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmdet.models.backbones.swin import ShiftWindowMSA
from plugins.backbones import window_layout as module
from plugins.backbones.window_layout import from_windows, shift_masks, to_windows, window_layout

SIZES = [(7, 7), (14, 21), (13, 15), (3, 5), (1, 20), (8, 7)]


class _Spy(torch.nn.Module):
    """Stands in for the attention of stock and notes what it gets."""

    def forward(self, x, mask=None):
        self.windows, self.mask = x, mask
        return x


def _stock(query, hw_shape, shift):
    stock = ShiftWindowMSA(query.shape[-1], 1, 7, shift)
    stock.w_msa = _Spy()
    out = stock(query, hw_shape)
    return stock.w_msa.windows, stock.w_msa.mask, out


def _sorted(windows, mask):
    """Pair every window with its mask, in an order that depends on nothing else."""
    mask = torch.zeros(1, 49, 49) if mask is None else mask
    masks = mask.repeat(len(windows) // len(mask), 1, 1)
    pairs = zip(windows.flatten(1).tolist(), masks.flatten(1).tolist(), strict=True)
    return sorted(pairs)


@pytest.mark.parametrize('shift', [0, 3])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_windows_and_their_masks_are_those_of_stock(size, shift):
    query = torch.randn(2, size[0] * size[1], 2)
    windows, mask, _ = _stock(query, size, shift)
    layout = window_layout(query, size, 7, shift)
    mine = to_windows(query.flatten(0, 1), layout).view(-1, 49, 2)
    masks = None
    if shift:
        groups = torch.tensor(layout.group_sizes)
        masks = shift_masks(7, shift, query).repeat_interleave(groups, 0)
    assert sum(layout.group_sizes) == len(windows)
    assert _sorted(mine, masks) == _sorted(windows, mask)


@pytest.mark.parametrize('shift', [0, 3])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_way_back_is_the_inverse(size, shift):
    tokens = torch.randn(2, size[0] * size[1], 3)
    layout = window_layout(tokens, size, 7, shift)
    rows = to_windows(tokens.flatten(0, 1), layout)
    assert torch.equal(from_windows(rows, layout), tokens.flatten(0, 1))


def test_gradients_of_both_ways_are_right():
    tokens = torch.randn(1, 30, 2, dtype=torch.float64)
    layout = window_layout(tokens, (5, 6), 4, 2)
    flat = tokens[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: to_windows(t, layout), flat)
    rows = torch.randn(64, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r: from_windows(r, layout), rows)


def test_sizes_are_looked_up_and_their_number_is_limited():
    module._cached_layout.cache_clear()
    tokens = torch.zeros(1, 300, 1)
    first = window_layout(tokens, (15, 20), 7, 3)
    assert window_layout(tokens + 1, (15, 20), 7, 3) is first
    for width in range(1, 200):
        window_layout(torch.zeros(1, width, 1), (1, width), 7, 3)
    kept = module._cached_layout.cache_info()
    assert kept.currsize == kept.maxsize == 64
    assert window_layout(tokens, (15, 20), 7, 3) is not first


def test_fake_and_meta_tensors_leave_no_trace():
    module._cached_layout.cache_clear()
    module._cached_masks.cache_clear()
    with FakeTensorMode():
        fake = torch.zeros(1, 35, 2)
        assert window_layout(fake, (5, 7), 7, 3).source.shape == (49,)
        shift_masks(7, 3, fake)
    assert not module._cached_layout.cache_info().currsize
    assert not module._cached_masks.cache_info().currsize
    meta = torch.zeros(1, 35, 2, device='meta')
    layout = window_layout(meta, (5, 7), 7, 3)
    assert layout.source.is_meta and to_windows(meta[0], layout).shape == (49, 2)
    assert not window_layout(torch.zeros(1, 35, 2), (5, 7), 7, 3).source.is_meta


def test_what_inference_mode_leaves_serves_training():
    module._cached_layout.cache_clear()
    module._cached_masks.cache_clear()
    tokens = torch.randn(1, 35, 2)
    with torch.inference_mode():
        window_layout(tokens, (5, 7), 7, 3)
        shift_masks(7, 3, tokens)
    layout = window_layout(tokens, (5, 7), 7, 3)
    tokens.requires_grad_()
    to_windows(tokens[0], layout).square().sum().backward()
    assert torch.equal(tokens.grad, 2 * tokens)
    bias = torch.ones(1, requires_grad=True)
    (bias * shift_masks(7, 3, tokens)).sum().backward()
    assert bias.grad < 0
