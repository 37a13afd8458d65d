"""Files that records are appended to, of which every prefix can be read."""

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from plugins.atomic_file import atomic_file
from plugins.errors import UserError

_BEGINNING = b'mmtail detections 1\n'
_FRAME = struct.Struct('<II')  # bytes of the payload, their CRC-32


class MemoryShard:
    """Payloads in the memory of this process."""

    def __init__(self, payloads: Iterable[bytes] = ()) -> None:
        self._payloads = list(payloads)

    def append(self, payload: bytes) -> None:
        """Add a payload."""
        self._payloads.append(payload)

    def rewrite(self, payloads: Iterable[bytes]) -> None:
        """Put these in the place of all."""
        self._payloads = list(payloads)

    def scan(self) -> Iterator[tuple[int, bytes]]:
        """The place and content of every payload, in order."""
        yield from enumerate(self._payloads)

    def read(self, place: int) -> bytes:
        """The payload at a place that `scan` gave."""
        return self._payloads[place]

    def close(self) -> None:
        """Nothing has to be closed."""


class FileShard:
    """Payloads in a file; each is handed to the operating system whole, with a checksum.

    A process that is killed leaves at most one payload half written, the last one; it is
    recognised by its length or checksum, and `scan` ends before it.

    Args:
        path: The file; it is created if it is not there.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._writer = None

    def append(self, payload: bytes) -> None:
        """Add a payload; when this returns, the end of this process does not lose it.

        Raises:
            UserError: The file system takes no more.
        """
        with _reporting(self.path):
            if self._writer is None:
                self._writer = self.path.open('ab')
                if self._writer.tell() == 0:
                    self._writer.write(_BEGINNING)
            self._writer.write(_framed(payload))
            self._writer.flush()

    def rewrite(self, payloads: Iterable[bytes]) -> None:
        """Put these in the place of all; the old ones stay until the new ones are complete.

        Raises:
            UserError: The file system takes no more.
        """
        with _reporting(self.path), atomic_file(self.path) as file:
            file.write(_BEGINNING)
            for payload in payloads:
                file.write(_framed(payload))
        self.close()

    def scan(self) -> Iterator[tuple[int, bytes]]:
        """The place and content of every intact payload up to the first broken one, in order."""
        if not self.path.exists():
            return
        with open(self.path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            if file.read(len(_BEGINNING)) != _BEGINNING:
                return
            place = len(_BEGINNING)
            while (payload := _read_frame(file, size - place)) is not None:
                yield place, payload
                place += _FRAME.size + len(payload)

    def read(self, place: int) -> bytes:
        """The payload at a place that `scan` gave."""
        with open(self.path, 'rb') as file:
            file.seek(place)
            return _read_frame(file, os.fstat(file.fileno()).st_size - place)

    def close(self) -> None:
        """Close the file; it is opened again when something is added."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@contextmanager
def _reporting(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f'cannot write results to {path}: {error.strerror}; make room or choose another '
            '--work-dir'
        ) from error


def _framed(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _read_frame(file, remaining: int) -> bytes | None:
    """Read a payload, or None if no intact one is there."""
    if remaining < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(file.read(_FRAME.size))
    # Asking for a broken length would make room for all of it.
    if length > remaining - _FRAME.size:
        return None
    payload = file.read(length)
    return payload if zlib.crc32(payload) == checksum else None
