"""One level of a feature pyramid, as a config names it."""

from torch import Tensor

from plugins.errors import UserError


def pyramid_level(x: tuple[Tensor, ...], level: int, address: str) -> Tensor:
    """Return a level of a feature pyramid, float (N, C, h, w).

    Args:
        x: Feature pyramid.
        level: Its number, finest first; negative ones count from the coarsest.
        address: Where the config says it, for the error message.

    Raises:
        UserError: The pyramid has no such level.
    """
    if not -len(x) <= level < len(x):
        raise UserError(f'{address} is {level}, but the feature pyramid has {len(x)} levels')
    return x[level]
