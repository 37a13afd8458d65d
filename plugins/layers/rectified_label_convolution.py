"""The label's convolution of rectified features, with a backward pass in one tensor less."""

import torch
from torch import Tensor


class RectifiedLabelConvolution(torch.autograd.Function):
    """``sum_d relu(features[n, d]) * rows[n, d]`` at every position, float (N, H, W).

    A mask head needs most memory where the gradient passes the relu before its predictor: the
    features, their gradient after the relu and their gradient before it are there at once. Here the
    second of them becomes the third in place.
    """

    @staticmethod
    def forward(ctx, features: Tensor, rows: Tensor) -> Tensor:
        """Compute the sum from float (N, D, H, W) and (N, D)."""
        ctx.save_for_backward(features, rows)
        out = torch.bmm(rows[:, None], features.relu().flatten(2))
        return out.view(len(features), *features.shape[2:])

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Compute both gradients, in the types of their inputs, from float (N, H, W)."""
        features, rows = ctx.saved_tensors
        grad = grad.flatten(1)
        of_features = of_rows = None
        if ctx.needs_input_grad[1]:
            flat = features.relu().flatten(2).to(grad.dtype)
            of_rows = torch.bmm(flat, grad[:, :, None])[:, :, 0].to(rows.dtype)
            del flat
        if ctx.needs_input_grad[0]:
            of_features = torch.bmm(rows[:, :, None].to(grad.dtype), grad[:, None])
            of_features = of_features.to(features.dtype).view_as(features)
            of_features.masked_fill_(features <= 0, 0)
        return of_features, of_rows
