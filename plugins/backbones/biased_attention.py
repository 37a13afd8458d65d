"""Attention with a learned bias, through torch's fused call on every device."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# The backward pass takes few windows at a time: so many attention weights stay in the cache of a
# processor, which makes it quicker and its peak lower.
_CACHED_WEIGHTS = 2**17


def biased_attention(qkv: Tensor, bias: Tensor, *, scale: float, dropout: float = 0.0) -> Tensor:
    """Compute ``softmax(scale * q k^T + bias) v`` in each of W windows.

    Torch has a fused kernel for processors, but without a gradient for the bias: where one is
    wanted, it takes the plain formula and keeps every attention weight. Here the kernel serves the
    forward pass in any case, and the backward pass makes the weights again.

    Args:
        qkv: Float (W, N, 3, heads, d), queries, keys and values of the N tokens of a window.
        bias: Float (heads, N, N), of the same dtype.
        scale: Factor of the products.
        dropout: Share of the attention weights that is dropped, in [0, 1).

    Returns:
        Float (W, N, heads, d).
    """
    if qkv.device.type == 'cpu' and not dropout:
        return _BiasedAttention.apply(qkv, bias, scale)
    return _fused_call(qkv, bias, scale, dropout)


def _unpack(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each (W, heads, N, d)."""
    return qkv.permute(2, 0, 3, 1, 4).unbind()


def _fused_call(qkv: Tensor, bias: Tensor, scale: float, dropout: float = 0.0) -> Tensor:
    out = F.scaled_dot_product_attention(*_unpack(qkv), bias[None], dropout, scale=scale)
    return out.transpose(1, 2)


class _BiasedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, qkv: Tensor, bias: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(qkv, bias)
        ctx.scale = scale
        # The kernel is refused to a bias that wants a gradient, even where none is recorded.
        return _fused_call(qkv.detach(), bias.detach(), scale)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        qkv, bias = ctx.saved_tensors
        # The kernel, too, sums numbers of 16 bits in 32.
        wide = torch.promote_types(qkv.dtype, torch.float32)
        wide_bias = bias.to(wide)
        of_qkv, of_bias = torch.empty_like(qkv), torch.zeros_like(wide_bias)
        count = max(1, _CACHED_WEIGHTS // bias.numel())
        parts = zip(qkv.split(count), gradient.split(count), of_qkv.split(count), strict=True)
        for part, of_out, of_part in parts:
            packed = part.permute(2, 0, 3, 1, 4).to(wide, memory_format=torch.contiguous_format)
            query, key, _ = packed
            of_out = of_out.to(wide).transpose(1, 2)
            of_logits, of_value = _gradients(packed, wide_bias, of_out, ctx.scale)
            of_bias += of_logits.sum(0)
            of_query = (of_logits @ key).mul_(ctx.scale)
            of_key = (of_logits.transpose(-2, -1) @ query).mul_(ctx.scale)
            for target, value in zip(_unpack(of_part), (of_query, of_key, of_value), strict=True):
                target.copy_(value)
        return of_qkv, of_bias.to(bias.dtype), None


def _gradients(packed: Tensor, bias: Tensor, of_out: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Gradients of the logits, (W, heads, N, N), and of the values, (W, heads, N, d)."""
    query, key, value = packed
    weights = ((query * scale) @ key.transpose(-2, -1)).add_(bias).softmax(-1)
    of_value = weights.transpose(-2, -1) @ of_out
    of_weights = of_out @ value.transpose(-2, -1)
    # Of softmax: w * (g - sum(w * g)).
    of_weights -= (weights * of_weights).sum(-1, keepdim=True)
    return of_weights.mul_(weights), of_value
