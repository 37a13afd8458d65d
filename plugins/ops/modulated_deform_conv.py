"""Deformable convolution v2, with a factor per tap (Zhu et al., 2019), by torchvision.

Order of channels, and of height and width, is the same on both sides. The buffers ``columns`` and
``ones`` are scratch space of the compiled module.
"""

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from plugins.ops.precision import bounded, widened


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Deformable convolution v2.

    Args:
        input: float (B, C, H, W).
        weight: float (C_out, C / group, kernel_h, kernel_w).
        bias: float (C_out,), or no elements without bias.
        ones: Not used.
        offset: float (B, 2 * deformable_group * kernel_h * kernel_w, H_out, W_out), feature
            pixels. A larger map is read as the compiled module reads it, see :func:`_leading`.
        mask: float (B, deformable_group * kernel_h * kernel_w, H_out, W_out), factor per tap.
        output: Filled: float (B, C_out, H_out, W_out).
        columns: Not used.
        kernel_h: Kernel height; the weight's shape says the same.
        kernel_w: Kernel width.
        stride_h: Vertical stride.
        stride_w: Horizontal stride.
        pad_h: Zero padding above and below.
        pad_w: Zero padding left and right.
        dilation_h: Vertical distance of kernel taps.
        dilation_w: Horizontal distance of kernel taps.
        group: Convolution groups.
        deformable_group: Groups of input channels with offsets and factors of their own.
        with_bias: Whether ``bias`` counts.
    """
    if output.numel() == 0:
        return
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    input, weight, bias, offset, mask = widened(input, weight, bias, offset, mask)
    offset, mask = (_leading(tensor, output.shape[2:]) for tensor in (offset, mask))
    bias = bias if with_bias else weight.new_zeros(weight.size(0))
    result = torch.ops.torchvision.deform_conv2d(
        input, weight, bounded(offset), mask, bias, *geometry, True
    )
    output.copy_(result)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Gradients of v2; tensors and sizes are those of the forward call.

    Args:
        input: float (B, C, H, W).
        weight: float (C_out, C / group, kernel_h, kernel_w).
        bias: float (C_out,), or no elements without bias.
        ones: Not used.
        offset: float (B, 2 * deformable_group * kernel_h * kernel_w, H_out, W_out).
        mask: float (B, deformable_group * kernel_h * kernel_w, H_out, W_out).
        columns: Not used.
        grad_input: Filled: like ``input``.
        grad_weight: Filled: like ``weight``.
        grad_bias: Filled where there is a bias.
        grad_offset: Filled: like ``offset``, zero on entry.
        grad_mask: Filled: like ``mask``, zero on entry.
        grad_output: float (B, C_out, H_out, W_out).
        kernel_h: Kernel height.
        kernel_w: Kernel width.
        stride_h: Vertical stride.
        stride_w: Horizontal stride.
        pad_h: Zero padding above and below.
        pad_w: Zero padding left and right.
        dilation_h: Vertical distance of kernel taps.
        dilation_w: Horizontal distance of kernel taps.
        group: Convolution groups.
        deformable_group: Groups of input channels with offsets and factors of their own.
        with_bias: Whether ``bias`` counts.
    """
    if grad_output.numel() == 0:
        return
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    size = grad_output.shape[2:]
    input, weight, bias, offset, mask, grad = widened(
        input, weight, bias, offset, mask, grad_output
    )
    offset, mask = (_leading(tensor, size) for tensor in (offset, mask))
    bias = bias if with_bias else weight.new_zeros(weight.size(0))
    grads = torch.ops.torchvision._deform_conv2d_backward(
        grad, input, weight, bounded(offset), mask, bias, *geometry, True
    )
    grad_input.copy_(grads[0])
    grad_weight.copy_(grads[1])
    _fill_leading(grad_offset, grads[2])
    _fill_leading(grad_mask, grads[3])
    if with_bias:
        grad_bias.copy_(grads[4])


def _leading(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Each image's first values as maps of the given size.

    The compiled module walks the memory of one image with the strides of the *output*, whatever
    the size of the map; mmdet's DyHead passes maps that are larger and relies on it.
    """
    if maps.shape[2:] == size:
        return maps
    needed = maps.size(1) * size[0] * size[1]
    if needed > maps[0].numel():
        raise ValueError(
            f'offset or mask of a deformable convolution has maps of {tuple(maps.shape[2:])} '
            f'for an output of {tuple(size)}: compute it with the stride and padding of the '
            'convolution'
        )
    return maps.flatten(1)[:, :needed].unflatten(1, (maps.size(1), *size))


def _fill_leading(maps: Tensor, values: Tensor) -> None:
    """Inverse of :func:`_leading`: write the first values of each image, and zero the rest."""
    rest = maps[0].numel() - values[0].numel()
    maps.copy_(F.pad(values.flatten(1), (0, rest)).reshape(maps.shape) if rest else values)
