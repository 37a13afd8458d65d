"""Vectors of length one, the building block of the normalised layers."""

import torch
from torch import Tensor

from plugins.errors import UserError

_EPS = 1e-6


def unit_vectors(x: Tensor) -> Tensor:
    """Divide every vector along dimension 1 by its Euclidean length.

    Half-precision input is widened to float32 for the division: the squares of a feature of 1024
    channels leave the range of float16.

    Args:
        x: Float (N, D, ...).

    Returns:
        The same shape and dtype; lengths below 1, and 1 up to 1e-6 / length. A zero vector stays
        zero and has a finite gradient.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide / (wide.norm(dim=1, keepdim=True) + _EPS)).to(x.dtype)


def check_temperature(temperature: float, address: str) -> float:
    """Return the temperature as a number.

    Args:
        temperature: Scale of the cosine.
        address: The config key it came from, for the message.

    Raises:
        UserError: It is not above zero.
    """
    if not temperature > 0:
        raise UserError(
            f'{address}.temperature is {temperature}; it scales a cosine and must be above 0 '
            '(20 with softmax, 50 with sigmoid losses)'
        )
    return float(temperature)
