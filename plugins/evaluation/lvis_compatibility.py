"""lvis-api 0.5.3 on today's numpy."""

import logging

import lvis.eval
import numpy as np


class _NumpyWithFloat:
    """The numpy that ``lvis.eval`` was written for; the real module stays as it is."""

    float = float

    def __getattr__(self, name: str) -> object:
        return getattr(np, name)


def provide_numpy_float() -> None:
    """Give ``lvis.eval`` the name ``np.float``, which numpy 1.24 removed; it means ``float``."""
    if not hasattr(lvis.eval.np, 'float'):
        lvis.eval.np = _NumpyWithFloat()


def silence_progress() -> None:
    """Keep lvis-api from reporting every step and warning on every call; errors still show."""
    logging.getLogger('lvis').setLevel(logging.ERROR)
