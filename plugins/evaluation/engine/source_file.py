"""The bytes of a JSON file, mapped into memory rather than read, compressed or not."""

import gzip
import mmap
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import BinaryIO

from plugins.annotations import AnnotationError

_GZIP_MAGIC = b'\x1f\x8b'
_UTF8_BOM = b'\xef\xbb\xbf'
_BLOCK = 1 << 22  # bytes


def map_file(path: str | os.PathLike, error: type[AnnotationError] = AnnotationError) -> memoryview:
    """Text of a file without a copy in memory.

    A gzip file (told by its content) is unpacked into a nameless temporary file first, in the
    folder that ``TMPDIR`` names.

    Args:
        path: The file.
        error: Class of the error to raise.

    Returns:
        Its bytes, read-only, without a byte order mark; they stay mapped while something refers
        to them.

    Raises:
        AnnotationError: The file is missing, unreadable, empty, or damaged gzip.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            is_packed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            text = _unpack(file) if is_packed else _map(file)
    except FileNotFoundError:
        raise error(f'{path}: no such file; check the path') from None
    except IsADirectoryError:
        raise error(f'{path}: this is a folder; give the file itself') from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise error(
            f'{path}: damaged or truncated gzip file ({fault}); copy or write it again'
        ) from None
    except OSError as fault:
        raise error(f'{path}: cannot be read ({fault.strerror or fault}); check it') from None
    if text[:3] == _UTF8_BOM:
        text = text[3:]
    if not bytes(text[:_BLOCK]).strip() and not bytes(text).strip():
        raise error(f'{path}: the file is empty; write it again')
    return text


def _unpack(file: BinaryIO) -> memoryview:
    with tempfile.TemporaryFile() as plain:
        with gzip.open(file) as packed:
            shutil.copyfileobj(packed, plain, _BLOCK)
        plain.flush()
        return _map(plain)


def _map(file: BinaryIO) -> memoryview:
    if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
        return memoryview(b'')
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
