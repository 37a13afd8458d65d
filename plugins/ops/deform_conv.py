"""Deformable convolution v1 (Dai et al., 2017) by torchvision's ``deform_conv2d``.

The offset channels have the same order on both sides (y then x for each kernel tap), but mmcv's v1
gives sizes width first. The buffers ``columns`` and ``ones`` are the compiled module's scratch.
"""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from plugins.ops.precision import bounded, widened


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Deformable convolution v1.

    Args:
        input: float (B, C, H, W).
        weight: float (C_out, C / group, kH, kW).
        offset: float (B, 2 * deformable_group * kH * kW, H_out, W_out), feature pixels.
        output: Filled: float (B, C_out, H_out, W_out).
        columns: Not used.
        ones: Not used.
        kW: Kernel width, kH its height; the weight's shape says the same.
        kH: Kernel height.
        dW: Horizontal stride, dH the vertical one.
        dH: Vertical stride.
        padW: Zero padding left and right, padH above and below.
        padH: Zero padding above and below.
        dilationW: Horizontal distance of kernel taps, dilationH the vertical one.
        dilationH: Vertical distance of kernel taps.
        group: Convolution groups.
        deformable_group: Groups of input channels with offsets of their own.
        im2col_step: Not used; torchvision chooses how many images it unfolds at a time.
    """
    if output.numel() == 0:
        return
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    input, weight, offset = widened(input, weight, offset)
    no_mask, no_bias = _unused(offset, weight)
    result = torch.ops.torchvision.deform_conv2d(
        input, weight, bounded(offset), no_mask, no_bias, *geometry, False
    )
    output.copy_(result)


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients of v1 with respect to input and offset; the sizes are those of the forward call.

    Args:
        input: float (B, C, H, W).
        offset: float (B, 2 * deformable_group * kH * kW, H_out, W_out).
        grad_output: float (B, C_out, H_out, W_out).
        grad_input: Filled: like ``input``.
        grad_offset: Filled: like ``offset``.
        weight: float (C_out, C / group, kH, kW).
        columns: Receives the weight gradient, see :func:`deform_conv_backward_parameters`.
        kW: Kernel width.
        kH: Kernel height.
        dW: Horizontal stride.
        dH: Vertical stride.
        padW: Zero padding left and right.
        padH: Zero padding above and below.
        dilationW: Horizontal distance of kernel taps.
        dilationH: Vertical distance of kernel taps.
        group: Convolution groups.
        deformable_group: Groups of input channels with offsets of their own.
        im2col_step: Not used.
    """
    if grad_output.numel() == 0:
        return
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _grads(input, offset, grad_output, weight, geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])
    columns.resize_(weight.shape).copy_(grads[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient of v1 with respect to the weight; the sizes are those of the forward call.

    torchvision computes all gradients at once, and mmcv asks for those of the input first, with the
    same scratch buffer. The weight gradient waits in it, once; this halves the backward pass.

    Args:
        input: float (B, C, H, W).
        offset: float (B, 2 * deformable_group * kH * kW, H_out, W_out).
        grad_output: float (B, C_out, H_out, W_out).
        grad_weight: Added to: float (C_out, C / group, kH, kW).
        columns: Scratch buffer of the preceding :func:`deform_conv_backward_input`, emptied
            here; the gradient is computed where it is empty.
        ones: Not used.
        kW: Kernel width.
        kH: Kernel height.
        dW: Horizontal stride.
        dH: Vertical stride.
        padW: Zero padding left and right.
        padH: Zero padding above and below.
        dilationW: Horizontal distance of kernel taps.
        dilationH: Vertical distance of kernel taps.
        group: Convolution groups.
        deformable_group: Groups of input channels with offsets of their own.
        scale: Factor of what is added.
        im2col_step: Not used.
    """
    if grad_output.numel() == 0:
        return
    if columns.shape == grad_weight.shape:
        result = columns.clone()
        columns.resize_(0)
    else:
        geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        # The weight's own gradient does not depend on its values, only on its shape.
        result = _grads(input, offset, grad_output, grad_weight, geometry)[1]
    grad_weight.add_(result.to(grad_weight.dtype), alpha=scale)


def _grads(
    input: Tensor, offset: Tensor, grad_output: Tensor, weight: Tensor, geometry: tuple[int, ...]
) -> tuple[Tensor, ...]:
    """Gradients of input, weight and offset, and two that mean nothing."""
    input, offset, grad, weight = widened(input, offset, grad_output, weight)
    no_mask, no_bias = _unused(offset, weight)
    return torch.ops.torchvision._deform_conv2d_backward(
        grad, input, weight, bounded(offset), no_mask, no_bias, *geometry, False
    )


def _unused(offset: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The mask and the bias that torchvision wants to be given even where it ignores them."""
    return offset.new_zeros((offset.size(0), 1)), weight.new_zeros(weight.size(0))
