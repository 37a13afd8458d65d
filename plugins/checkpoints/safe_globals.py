"""The few names, beyond torch's own list, that a checkpoint of mmengine's runner refers to."""

import functools

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from numpy._core.multiarray import _reconstruct, scalar

_NUMERIC_KINDS = ('?', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')


def _history_attribute(owner: object, name: str) -> object:
    """Stand in for ``getattr`` in a checkpoint: public attributes of ``HistoryBuffer``, no more.

    A history buffer pickles its statistics methods as ``getattr(HistoryBuffer, 'mean')``. The real
    ``getattr`` would let a crafted file walk from any allowed object to any function.
    """
    if owner is not HistoryBuffer or name.startswith('_'):
        raise ValueError(f'the checkpoint asks for attribute {name!r} of {owner!r}: refused')
    return getattr(owner, name)


@functools.cache
def allow_runner_globals() -> None:
    """Let ``torch.load(weights_only=True)`` read what mmengine's runner writes.

    The additions are data containers only (numpy arrays and scalars, the log's history buffer);
    none of them runs code of the file. Calling this again does nothing.
    """
    dtypes = [type(np.dtype(kind)) for kind in _NUMERIC_KINDS]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            np.ndarray,
            np.dtype,
            *dtypes,
            _reconstruct,
            scalar,
            # The names that numpy < 2 wrote into its pickles.
            (_reconstruct, 'numpy.core.multiarray._reconstruct'),
            (scalar, 'numpy.core.multiarray.scalar'),
            (_history_attribute, 'builtins.getattr'),
        ]
    )
