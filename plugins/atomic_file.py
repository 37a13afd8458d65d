"""Output files that appear complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name when everything is written.

    Whatever ends the block early (Ctrl-C included) leaves no trace and the previous file as it was.

    Args:
        path: Its name in the end; missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is fixed, so that the next attempt replaces what a killed process left.
    partial = path.with_name(f'.{path.name}.part')
    try:
        with open(partial, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
