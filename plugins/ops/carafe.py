"""CARAFE (Wang et al., 2019, eq. 4): upsampling by a predicted kernel for each output pixel.

An output pixel is the sum over the k x k neighbourhood of its source pixel, weighted by its own
kernel; channel groups have kernels of their own. One pass per kernel tap over shifted views needs
neither the k * k copies of an unfold nor its time.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.ops.precision import widened


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample.

    Args:
        features: float (B, C, H, W).
        masks: float (B, group_size * kernel_size^2, scale_factor * H, scale_factor * W),
            normalised kernels, group first.
        rfeatures: Filled with the features: mmcv hands this buffer, not them, to backward.
        routput: Not used.
        rmasks: Not used.
        output: Filled: float (B, C, scale_factor * H, scale_factor * W).
        kernel_size: Odd width k of a kernel, source pixels.
        group_size: Number of channel groups.
        scale_factor: Output pixels per source pixel and direction.
    """
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Gradients of :func:`carafe_forward` with respect to features and kernels.

    Args:
        grad_output: float (B, C, scale_factor * H, scale_factor * W).
        rfeatures: As filled by the forward call.
        masks: As in the forward call.
        rgrad_output: Not used, like the next three.
        rgrad_input_hs: Not used.
        rgrad_input: Not used.
        rgrad_masks: Not used.
        grad_input: Filled: float (B, C, H, W).
        grad_masks: Filled: like ``masks``.
        kernel_size: As in the forward call, like the next two.
        group_size: Number of channel groups.
        scale_factor: Output pixels per source pixel and direction.
    """
    carafe_naive_backward(
        grad_output,
        rfeatures,
        masks,
        grad_input,
        grad_masks,
        kernel_size,
        group_size,
        scale_factor,
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """The same as :func:`carafe_forward`, without its buffers."""
    features, kernels = widened(features, masks)
    kernels = _planes(kernels, group_size, scale_factor)
    padded = F.pad(features, (kernel_size // 2,) * 4)
    shape = (*kernels.shape[:4], features.shape[1] // group_size, *features.shape[2:])
    result = features.new_zeros(shape)
    for tap, window in _tap_windows(padded, kernel_size, group_size):
        result.addcmul_(window, kernels[:, :, :, :, tap, None])
    output.copy_(_interleaved(result))


def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """The same as :func:`carafe_backward`, without its buffers."""
    margin = kernel_size // 2
    grad, features, kernels = widened(grad_output, features, masks)
    grad = _planes(grad, group_size, scale_factor)
    kernels = _planes(kernels, group_size, scale_factor)
    padded = F.pad(features, (margin,) * 4)
    padded_grad = torch.zeros_like(padded)
    kernel_grads = torch.empty_like(kernels)
    pairs = zip(
        _tap_windows(padded, kernel_size, group_size),
        _tap_windows(padded_grad, kernel_size, group_size),
        strict=True,
    )
    for (tap, window), (_, window_grad) in pairs:
        kernel_grads[:, :, :, :, tap] = (grad * window).sum(dim=4)
        window_grad += (grad * kernels[:, :, :, :, tap, None]).sum(dim=(0, 1))
    height, width = features.shape[2:]
    grad_input.copy_(padded_grad[:, :, margin : margin + height, margin : margin + width])
    grad_masks.copy_(_interleaved(kernel_grads))


def _planes(maps: Tensor, groups: int, scale: int) -> Tensor:
    """Copy (B, G * N, s * H, s * W) to (s, s, B, G, N, H, W).

    Output pixels with the same place above their source pixels become a map of the source's size,
    contiguous, which is several times as fast to go over as every s-th pixel of a row.
    """
    batch, channels, height, width = maps.shape
    shape = (batch, groups, channels // groups, height // scale, scale, width // scale, scale)
    return maps.reshape(shape).permute(4, 6, 0, 1, 2, 3, 5).contiguous()


def _interleaved(planes: Tensor) -> Tensor:
    """Undo ``_planes``: (s, s, B, G, N, H, W) to (B, G * N, s * H, s * W)."""
    scale, _, batch, groups, count, height, width = planes.shape
    maps = planes.permute(2, 3, 4, 5, 0, 6, 1)
    return maps.reshape(batch, groups * count, height * scale, width * scale)


def _tap_windows(padded: Tensor, size: int, groups: int) -> Iterator[tuple[int, Tensor]]:
    """Number of each kernel tap and its view of the map, (B, G, C / G, H, W)."""
    height, width = (length - size + 1 for length in padded.shape[2:])
    split = padded.unflatten(1, (groups, -1))
    for tap in range(size * size):
        top, left = divmod(tap, size)
        yield tap, split[..., top : top + height, left : left + width]
