"""What composite backbones are given, and a backward pass from everything that they return."""

from collections.abc import Iterable

import torch
from torch import Tensor


def image(height: int = 64, width: int = 64, count: int = 1) -> Tensor:
    """Make normalised images, float (count, 3, height, width), the same in every call."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(5))


def backward(pyramids: Iterable[Iterable[Tensor]]) -> None:
    """Leave gradients of the sum of squares of all maps on the parameters."""
    sum(level.square().sum() for maps in pyramids for level in maps).backward()
