"""How a file is recognised without reading it, and the note that says what was checked."""

import os
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

_SETTLED = 2.0
"""Seconds after which a change of a file also changes its times, on every file system."""


class FileStamp(NamedTuple):
    """What changes when a file is changed or replaced.

    Attributes:
        size: Bytes.
        mtime_ns: Time of the last change of the content, nanoseconds.
        ctime_ns: The same of content or attributes; programs cannot set it.
        inode: Number of the file on its device.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Receipt(msgspec.Struct, frozen=True):
    """States of two files in which the one was found to be an intact cache of the other.

    Attributes:
        source: Stamp of the annotation file; None if it could not be relied on.
        columns: Stamp of the cache.
    """

    source: FileStamp | None
    columns: FileStamp


def stamp_of(path: str | os.PathLike) -> FileStamp | None:
    """Stamp of a file, or None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def has_settled(stamp: FileStamp) -> bool:
    """Whether a later change of the file is bound to change its stamp.

    File systems count time in steps: a file that was written a moment ago may be written again
    within the same step.
    """
    return time.time_ns() - max(stamp.mtime_ns, stamp.ctime_ns) > _SETTLED * 1e9


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None if there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Receipt)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_receipt(path: Path, receipt: Receipt) -> None:
    """Write a receipt in one step; without it the next reader only has to check again.

    Where the folder cannot be written nothing happens.
    """
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    try:
        partial.write_bytes(msgspec.json.encode(receipt))
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
