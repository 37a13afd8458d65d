"""Focal loss (Lin et al., 2017, eq. 5) on sigmoid or softmax probabilities, element by element.

The Python side of mmcv reduces and scales. Probabilities below the smallest normal float32 are
raised to it before the logarithm, as in the compiled module.
"""

import torch
from torch import Tensor

from plugins.ops.precision import widened

_TINY = torch.finfo(torch.float32).tiny


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """One binary focal loss per row and class.

    Args:
        input: float (N, C), logits.
        target: int64 (N,), class in [0, C); any other value is background, negative for all.
        weight: float (C,), factor of the rows of each class, 1 for background; or no elements.
        output: Filled: float (N, C).
        gamma: Focusing exponent, >= 0.
        alpha: Share of the positive term, in [0, 1].
    """
    (logits,) = widened(input)
    prob, is_target = logits.sigmoid(), _one_hot(target, input.size(1))
    positive = -alpha * (1 - prob) ** gamma * _log(prob)
    negative = -(1 - alpha) * prob**gamma * _log(1 - prob)
    loss = torch.where(is_target, positive, negative)
    output.copy_(loss * _row_weight(weight, target, loss.dtype)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Derivative of :func:`sigmoid_focal_loss_forward` with respect to the logits.

    Args:
        input: As in the forward call, like ``target`` and ``weight``.
        target: int64 (N,).
        weight: float (C,), or no elements.
        grad_input: Filled: float (N, C).
        gamma: As in the forward call.
        alpha: As in the forward call.
    """
    (logits,) = widened(input)
    prob, is_target = logits.sigmoid(), _one_hot(target, input.size(1))
    positive = -alpha * (1 - prob) ** gamma * (1 - prob - gamma * prob * _log(prob))
    negative = -(1 - alpha) * prob**gamma * (gamma * (1 - prob) * _log(1 - prob) - prob)
    grad = torch.where(is_target, positive, negative)
    grad_input.copy_(grad * _row_weight(weight, target, grad.dtype)[:, None])


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """One focal loss per row, on the probability of the row's class.

    Args:
        softmax: float (N, C), probabilities.
        target: int64 (N,), class in [0, C); a negative one is ignored.
        weight: float (C,), factor of the rows of each class; or no elements.
        output: Filled: float (N,), 0 for ignored rows.
        gamma: Focusing exponent, >= 0.
        alpha: Factor of every row.
    """
    prob = _target_prob(softmax, target)
    loss = -alpha * (1 - prob) ** gamma * _log(prob)
    loss = loss * _row_weight(weight, target, loss.dtype)
    output.copy_(torch.where(target >= 0, loss, 0))


def softmax_focal_loss_backward(
    softmax: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Derivative of :func:`softmax_focal_loss_forward` with respect to the logits.

    Args:
        softmax: As in the forward call, like ``target`` and ``weight``.
        target: int64 (N,).
        weight: float (C,), or no elements.
        buff: Filled: float (N,), derivative with respect to the log-probability of the class.
        grad_input: Filled: float (N, C).
        gamma: As in the forward call.
        alpha: As in the forward call.
    """
    prob = _target_prob(softmax, target)
    # A certain row has 1 - prob = 0, whose power gamma - 1 is infinite below gamma = 1.
    rest = (1 - prob).clamp(min=_TINY)
    slope = alpha * (-((1 - prob) ** gamma) + gamma * rest ** (gamma - 1) * prob * _log(prob))
    slope = slope * _row_weight(weight, target, slope.dtype)
    slope = torch.where(target >= 0, slope, 0)
    buff.copy_(slope)
    grad_input.copy_(slope[:, None] * (_one_hot(target, softmax.size(1)).to(slope) - softmax))


def _one_hot(target: Tensor, num_classes: int) -> Tensor:
    return target[:, None] == torch.arange(num_classes, device=target.device)


def _target_prob(softmax: Tensor, target: Tensor) -> Tensor:
    (softmax,) = widened(softmax)
    return softmax.gather(1, target.clamp(min=0)[:, None])[:, 0]


def _row_weight(weight: Tensor, target: Tensor, dtype: torch.dtype) -> Tensor:
    if weight.numel() == 0:
        return torch.ones(len(target), dtype=dtype, device=target.device)
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, weight.to(dtype)[target.clamp(0, len(weight) - 1)], 1)


def _log(prob: Tensor) -> Tensor:
    return prob.clamp(min=_TINY).log()
