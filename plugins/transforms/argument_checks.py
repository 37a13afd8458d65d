"""Checks of what a config says about a transform; a message names the transform and the key."""

from collections.abc import Sequence
from numbers import Real

import numpy as np

from plugins.errors import UserError


def check_at_least(transform: object, least: float, **values: float) -> None:
    """Refuse a value that is no finite number or below ``least``."""
    for key, value in values.items():
        if not (isinstance(value, Real) and least <= value < np.inf):
            raise UserError(f'{_name(transform, key)}={value!r} must be a number >= {least}')


def check_count(transform: object, **values: int) -> None:
    """Refuse a value that is no whole number or below 1."""
    for key, value in values.items():
        if not (isinstance(value, int) and value >= 1):
            raise UserError(f'{_name(transform, key)}={value!r} must be a whole number >= 1')


def check_probability(transform: object, **values: float) -> None:
    """Refuse a value outside of [0, 1]."""
    for key, value in values.items():
        if not (isinstance(value, Real) and 0 <= value <= 1):
            raise UserError(f'{_name(transform, key)}={value!r} must be a probability, from 0 to 1')


def check_size(transform: object, **values: Sequence[int]) -> None:
    """Refuse anything but a width and a height, whole numbers >= 1."""
    for key, value in values.items():
        if not _is_pair(value):
            raise UserError(f'{_name(transform, key)}={value!r} must be (width, height)')
        check_count(transform, **{f'{key}[0]': value[0], f'{key}[1]': value[1]})


def check_range(transform: object, **values: Sequence[float]) -> None:
    """Refuse anything but a smaller and a larger number above 0."""
    for key, value in values.items():
        is_pair = _is_pair(value) and all(isinstance(limit, Real) for limit in value)
        if not (is_pair and 0 < value[0] <= value[1] < np.inf):
            raise UserError(
                f'{_name(transform, key)}={value!r} must be (smallest, largest), both above 0'
            )


def _name(transform: object, key: str) -> str:
    return f'train_pipeline: {type(transform).__name__}.{key}'


def _is_pair(value: object) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2
