"""A file backend for checkpoints: the file appears complete, or not at all."""

import os
import tempfile
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
        descriptor, partial = tempfile.mkstemp(prefix=f'.{target.name}.', dir=target.parent)
        try:
            with os.fdopen(descriptor, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(partial, _default_mode())
            os.replace(partial, target)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write the string ``obj`` to ``filepath``."""
        self.put(obj.encode(encoding), filepath)


def _default_mode() -> int:
    """Return the mode a plain ``open`` would give; ``mkstemp`` makes files private."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


register_backend('atomic_local', AtomicLocalBackend)
