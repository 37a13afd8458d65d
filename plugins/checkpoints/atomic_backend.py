"""A file backend for checkpoints: the file appears complete, or not at all."""

import contextlib
import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


class AtomicLocalBackend(LocalBackend):
    """Local files written to a temporary name, synchronised, then renamed into place.

    A process that dies, or a disk that fills up, while writing leaves the previous file untouched.
    Use it by ``backend_args=dict(backend='atomic_local')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath`` (bytes), creating its folder."""
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        # The name is fixed, so that the next attempt replaces what a killed process left.
        partial = target.with_name(f'.{target.name}.part')
        try:
            with open(partial, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write the string ``obj`` to ``filepath``."""
        self.put(obj.encode(encoding), filepath)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the file system can."""
    # Some network file systems refuse this for folders; the file is complete all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


register_backend('atomic_local', AtomicLocalBackend)
