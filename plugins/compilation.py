"""How loops over pixels and matches are compiled."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core.dispatcher import Dispatcher


def compiled(function: Callable) -> Callable:
    """The function as machine code that runs without the interpreter lock.

    It is kept on disk between processes: beside the source, or in the user's cache folder
    (``NUMBA_CACHE_DIR`` names another). Where neither can be written, every process compiles.
    """
    options = {'nogil': True, 'error_model': 'numpy'}
    try:
        dispatcher = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    if isinstance(dispatcher, Dispatcher):
        _renew_when_sources_change(dispatcher)
    return dispatcher


def _renew_when_sources_change(dispatcher: Dispatcher) -> None:
    """Make what is on disk depend on every file that went into it.

    numba looks at the function's own file only: it would go on using the old machine code of a
    function of another file that was compiled into this one.
    """
    function = dispatcher.py_func
    called = [value for value in function.__globals__.values() if isinstance(value, Dispatcher)]
    sources = {function.__code__.co_filename}.union(*(getattr(c, 'sources', ()) for c in called))
    dispatcher.sources = sources
    dispatcher._cache._cache_file._source_stamp = sorted(map(_digest, sources))


@functools.cache
def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
