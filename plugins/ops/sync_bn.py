"""Steps of mmcv's synchronised batch normalisation (type ``MMSyncBN``).

mmcv's Python side reduces the statistics over the ranks between these steps; nothing here
communicates. Maps come flattened to (B, C, S); statistics are float32 (C,).
"""

from torch import Tensor


def sync_bn_forward_mean(input: Tensor, mean: Tensor) -> None:
    """Fill ``mean``, float32 (C,), with the channel means of ``input``, float (B, C, S)."""
    mean.copy_(input.float().mean(dim=(0, 2)))


def sync_bn_forward_var(input: Tensor, mean: Tensor, var: Tensor) -> None:
    """Fill ``var`` with the mean squared distance of ``input`` from the given channel means."""
    var.copy_(_centred(input, mean).square().mean(dim=(0, 2)))


def sync_bn_forward_output(
    input: Tensor,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    norm: Tensor,
    std: Tensor,
    output: Tensor,
    eps: float,
    momentum: float | Tensor,
    group_size: int,
) -> None:
    """Normalise, scale, and update the running statistics.

    Args:
        input: float (B, C, S).
        mean: float32 (C,), over all ranks.
        var: float32 (C,), biased, over all ranks.
        weight: float32 (C,), or None or no elements for 1.
        bias: float32 (C,), present where ``weight`` is.
        running_mean: Updated: float32 (C,), or None or no elements.
        running_var: Updated with the unbiased variance, present where ``running_mean`` is.
        norm: Filled: float32 (B, C, S), the normalised input; or no elements.
        std: Filled: float32 (C,), square root of ``var + eps``.
        output: Filled: float (B, C, S).
        eps: Added to the variance.
        momentum: Share of the new value in the running statistics, in [0, 1].
        group_size: Ranks, each taken to hold as many values as this one.
    """
    std.copy_((var + eps).sqrt())
    normalised = _centred(input, mean) / std[:, None]
    if norm.numel():
        norm.copy_(normalised)
    if _given(weight):
        normalised = normalised * weight[:, None] + bias[:, None]
    output.copy_(normalised)
    if _given(running_mean):
        count = input.size(0) * input.size(2) * group_size
        unbiased = var * count / (count - 1) if count > 1 else var
        running_mean.copy_(momentum * mean + (1 - momentum) * running_mean)
        running_var.copy_(momentum * unbiased + (1 - momentum) * running_var)


def sync_bn_backward_param(
    grad_output: Tensor, norm: Tensor, grad_weight: Tensor, grad_bias: Tensor
) -> None:
    """Gradients of scale and shift.

    Args:
        grad_output: float (B, C, S).
        norm: float32 (B, C, S), as filled by :func:`sync_bn_forward_output`.
        grad_weight: Filled: float32 (C,).
        grad_bias: Filled: float32 (C,).
    """
    grad = grad_output.float()
    grad_weight.copy_((grad * norm).sum(dim=(0, 2)))
    grad_bias.copy_(grad.sum(dim=(0, 2)))


def sync_bn_backward_data(
    grad_output: Tensor,
    weight: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    norm: Tensor,
    std: Tensor,
    grad_input: Tensor,
) -> None:
    """Gradient of the input.

    Args:
        grad_output: float (B, C, S).
        weight: float32 (C,).
        grad_weight: float32 (C,), averaged over the ranks.
        grad_bias: float32 (C,), averaged over the ranks.
        norm: float32 (B, C, S), as filled by :func:`sync_bn_forward_output`.
        std: float32 (C,), as filled there.
        grad_input: Filled: float (B, C, S).
    """
    count = grad_output.size(0) * grad_output.size(2)
    shared = (norm * grad_weight[:, None] + grad_bias[:, None]) / count
    grad_input.copy_((grad_output.float() - shared) * (weight / std)[:, None])


def _centred(input: Tensor, mean: Tensor) -> Tensor:
    return input.float() - mean[:, None]


def _given(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.numel() > 0
