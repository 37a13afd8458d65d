"""A file backend for checkpoints: the file appears complete, or not at all."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from plugins.atomic_file import atomic_file


class AtomicLocalBackend(LocalBackend):
    """Local files written to a temporary name, synchronised, then renamed into place.

    A process that dies, or a disk that fills up, while writing leaves the previous file untouched.
    Use it by ``backend_args=dict(backend='atomic_local')``.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath`` (bytes), creating its folder."""
        with atomic_file(filepath) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write the string ``obj`` to ``filepath``."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend)
