"""Multi-scale deformable attention (Zhu et al., 2021, eq. 3).

mmcv calls these entry points for CUDA tensors only, its CPU path is Python. A level's samples are
weighted and summed before the next level is read, so one level is the most that is held.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.ops.precision import widened


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Weighted sum of bilinear samples over all levels.

    Args:
        value: float (B, K, heads, D), the levels one after the other, each row by row.
        value_spatial_shapes: int64 (L, 2), height and width of each level.
        value_level_start_index: int64 (L,), first key of each level.
        sampling_locations: float (B, Q, heads, L, points, 2), x and y, 0 to 1 over the level.
        attention_weights: float (B, Q, heads, L, points).
        im2col_step: Not used.

    Returns:
        float (B, Q, heads * D), in the type of ``value``.
    """
    dtype = value.dtype
    value, locations, weights = widened(value, sampling_locations, attention_weights)
    levels = _levels(value_spatial_shapes, value_level_start_index)
    return _attend(value, levels, locations, weights).to(dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Gradients of :func:`ms_deform_attn_forward`, by running it again under autograd.

    Args:
        value: As in the forward call, like the next four.
        value_spatial_shapes: int64 (L, 2).
        value_level_start_index: int64 (L,).
        sampling_locations: float (B, Q, heads, L, points, 2).
        attention_weights: float (B, Q, heads, L, points).
        grad_output: float (B, Q, heads * D).
        grad_value: Filled: like ``value``.
        grad_sampling_loc: Filled: like ``sampling_locations``.
        grad_attn_weight: Filled: like ``attention_weights``.
        im2col_step: Not used.
    """
    *leaves, grad = (
        tensor.detach()
        for tensor in widened(value, sampling_locations, attention_weights, grad_output)
    )
    levels = _levels(value_spatial_shapes, value_level_start_index)
    with torch.enable_grad():
        value, locations, weights = (leaf.requires_grad_() for leaf in leaves)
        output = _attend(value, levels, locations, weights)
    grads = torch.autograd.grad(output, leaves, grad)
    buffers = (grad_value, grad_sampling_loc, grad_attn_weight)
    for buffer, result in zip(buffers, grads, strict=True):
        buffer.copy_(result)


def _levels(shapes: Tensor, starts: Tensor) -> list[tuple[int, int, int]]:
    """Height, width and first key of each level."""
    sizes = zip(shapes.tolist(), starts.tolist(), strict=True)
    return [(height, width, start) for (height, width), start in sizes]


def _attend(
    value: Tensor, levels: list[tuple[int, int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    batch, _, heads, depth = value.shape
    queries = locations.size(1)
    # Heads are attended to separately: they take the place of the batch.
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    weights = weights.transpose(1, 2).flatten(0, 1)
    output = value.new_zeros((batch * heads, depth, queries))
    for level, (height, width, start) in enumerate(levels):
        keys = value[:, start : start + height * width].permute(0, 2, 3, 1)
        samples = F.grid_sample(
            keys.reshape(batch * heads, depth, height, width),
            grids[:, :, level],
            mode='bilinear',
            padding_mode='zeros',
            align_corners=False,
        )
        output = output + torch.einsum('bdqp,bqp->bdq', samples, weights[:, :, level])
    return output.reshape(batch, heads * depth, queries).transpose(1, 2).contiguous()
