"""CARAFE (Wang et al. 2019, eq. 4) the other way round: down-sampling by predicted kernels.

An output pixel is the sum over the k x k neighbourhood of its source pixel, weighted by its own
kernel; channel groups have kernels of their own. One pass per kernel tap over strided views needs
neither the k * k copies of an unfold nor their time.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 2


def carafe_downsample(features: Tensor, kernels: Tensor, kernel_size: int, groups: int) -> Tensor:
    """Halve height and width: ``out[y, x] = sum_ij W[y, x, i, j] * in[2y + i - r, 2x + j - r]``.

    r is ``(kernel_size - 1) / 2``; outside the map there is zero. Half precision is summed in
    float32.

    Args:
        features: Float (N, C, H, W); C is a multiple of ``groups``.
        kernels: Float (N, groups * kernel_size ** 2, ceil(H / 2), ceil(W / 2)), normalised by the
            caller, group first, then rows of the kernel.
        kernel_size: Odd width k of a kernel, pixels of the features.
        groups: Number of channel groups.

    Returns:
        The dtype of ``features``, (N, C, ceil(H / 2), ceil(W / 2)).
    """
    wide = torch.promote_types(features.dtype, torch.float32)
    reassembled = _Reassembly.apply(features.to(wide), kernels.to(wide), kernel_size, groups)
    return reassembled.to(features.dtype)


class _Reassembly(torch.autograd.Function):
    """Written by hand, since autograd would make a map of the input's size for every tap."""

    @staticmethod
    def forward(ctx, features: Tensor, kernels: Tensor, kernel_size: int, groups: int) -> Tensor:
        ctx.save_for_backward(features, kernels)
        ctx.kernel_size, ctx.groups = kernel_size, groups
        padded = F.pad(features, (kernel_size // 2,) * 4)
        size = kernels.shape[2:]
        result = features.new_zeros(*features.shape[:2], *size)
        by_group = result.unflatten(1, (groups, -1))
        weights = kernels.unflatten(1, (groups, kernel_size**2))
        for tap, window in _tap_windows(padded, kernel_size, groups, size):
            by_group.addcmul_(window, weights[:, :, tap, None])
        return result

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        features, kernels = ctx.saved_tensors
        kernel_size, groups = ctx.kernel_size, ctx.groups
        margin, size = kernel_size // 2, kernels.shape[2:]
        padded = F.pad(features, (margin,) * 4)
        padded_grad = torch.zeros_like(padded)
        kernel_grads = torch.empty_like(kernels)
        grad = grad.unflatten(1, (groups, -1))
        weights, weight_grads = (
            maps.unflatten(1, (groups, kernel_size**2)) for maps in (kernels, kernel_grads)
        )
        windows = _tap_windows(padded, kernel_size, groups, size)
        window_grads = _tap_windows(padded_grad, kernel_size, groups, size)
        for (tap, window), (_, window_grad) in zip(windows, window_grads, strict=True):
            torch.sum(grad * window, dim=2, out=weight_grads[:, :, tap])
            window_grad.addcmul_(grad, weights[:, :, tap, None])
        height, width = features.shape[2:]
        inside = padded_grad[:, :, margin : margin + height, margin : margin + width]
        return inside, kernel_grads, None, None


def _tap_windows(
    padded: Tensor, kernel_size: int, groups: int, size: tuple[int, int]
) -> Iterator[tuple[int, Tensor]]:
    """Number of each kernel tap and its view of the map, (N, groups, C / groups, *size)."""
    by_group = padded.unflatten(1, (groups, -1))
    rows, columns = (STRIDE * (length - 1) + 1 for length in size)
    for tap in range(kernel_size**2):
        top, left = divmod(tap, kernel_size)
        yield tap, by_group[..., top : top + rows : STRIDE, left : left + columns : STRIDE]
