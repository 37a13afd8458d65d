"""The file of a cache: a checked header, then one array after the other, ready to be mapped.

::

    magic (8 bytes), format (uint32), checksum of the header (uint32),
    length of the header (uint64), of the file (uint64), checksum of the arrays (uint32), zeros,
    header (JSON), zeros, arrays, each at a multiple of 64 bytes

All numbers are little-endian. The checksums are CRC-32: they find damage, not malice.
"""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, NamedTuple

import msgspec
import numpy as np

FORMAT = 1
"""Raise it whenever the same annotation file would give other columns or other problems."""
PREFIX_BYTES = 40
ENCODING = dict(encoding='utf-8', errors='surrogatepass')
"""Of names: JSON can write halves of characters, which are no valid text but are file names."""

_MAGIC = b'MMTAILAC'
_PREFIX = struct.Struct('<8sIIQQI4x')
_ALIGNMENT = 64


class DamagedCacheError(Exception):
    """A file that is no cache of this format, or not all of one."""


class Blocks(NamedTuple):
    """A column of one dimension that is made while it is written.

    Attributes:
        dtype: Of the column.
        length: Entries of all parts together.
        parts: Makes arrays of this type, in order, anew whenever it is called.
    """

    dtype: np.dtype
    length: int
    parts: Callable[[], Iterable[np.ndarray]]


class Header(msgspec.Struct, frozen=True):
    """What a cache says about itself.

    Attributes:
        content: SHA-256 of the annotation file, hexadecimal.
        names: Names of the categories, by increasing category id.
        problems: Fields of every `Problem` of the annotation file.
        columns: Data type, shape and byte offset of every array; offsets count from the first.
    """

    content: str
    names: list[str]
    problems: list[dict]
    columns: dict[str, tuple[str, list[int], int]]


def write_cache(
    file: BinaryIO,
    columns: Mapping[str, np.ndarray | Blocks],
    *,
    content: str,
    names: list[str],
    problems: list[dict],
) -> None:
    """Write a cache from the beginning of an empty file that can seek.

    Args:
        file: Open for writing.
        columns: Arrays by name.
        content: As in `Header`.
        names: Likewise.
        problems: Likewise.
    """
    places = _places(columns)
    text = msgspec.json.encode(Header(content, names, problems, places))
    start = _start(len(text))
    file.write(bytes(PREFIX_BYTES) + text + bytes(start - PREFIX_BYTES - len(text)))
    checksum, position = 0, 0
    for name, column in columns.items():
        for part in itertools.chain([bytes(places[name][2] - position)], _parts(column)):
            file.write(part)
            checksum = zlib.crc32(part, checksum)
            position += len(part)
    file.seek(0)
    file.write(
        _PREFIX.pack(_MAGIC, FORMAT, zlib.crc32(text), len(text), start + position, checksum)
    )


def read_header(buffer: memoryview) -> Header:
    """Header of a cache.

    Raises:
        DamagedCacheError: The buffer is no complete cache of this format.
    """
    if len(buffer) < PREFIX_BYTES:
        raise DamagedCacheError('it is truncated')
    magic, version, checksum, length, size, _ = _PREFIX.unpack_from(buffer)
    if magic != _MAGIC:
        raise DamagedCacheError('it is something else')
    if version != FORMAT:
        raise DamagedCacheError(f'its format is {version}, not {FORMAT}')
    if size != len(buffer):
        raise DamagedCacheError(f'it has {len(buffer)} of {size} bytes')
    text = buffer[PREFIX_BYTES : PREFIX_BYTES + length]
    if zlib.crc32(text) != checksum:
        raise DamagedCacheError('its header is damaged')
    return msgspec.json.decode(text, type=Header)


def read_columns(buffer: memoryview, header: Header) -> dict[str, np.ndarray]:
    """The arrays of a cache by name, as views of the buffer, which must be read-only."""
    start = _start(_PREFIX.unpack_from(buffer)[3])
    return {
        name: np.ndarray(shape, dtype, buffer, start + offset)
        for name, (dtype, shape, offset) in header.columns.items()
    }


def has_intact_arrays(buffer: memoryview) -> bool:
    """Whether the arrays of a cache are those that were written; reads all of them."""
    *_, length, _, checksum = _PREFIX.unpack_from(buffer)
    return zlib.crc32(buffer[_start(length) :]) == checksum


def _places(columns: Mapping[str, np.ndarray | Blocks]) -> dict[str, tuple[str, list[int], int]]:
    places, offset = {}, 0
    for name, column in columns.items():
        shape = [column.length] if isinstance(column, Blocks) else list(column.shape)
        dtype = np.dtype(column.dtype).newbyteorder('<').str
        offset += -offset % _ALIGNMENT
        places[name] = (dtype, shape, offset)
        offset += _num_bytes(dtype, shape)
    return places


def _num_bytes(dtype: str, shape: list[int]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize


def _start(length: int) -> int:
    """Where the arrays begin behind a header of so many bytes."""
    end = PREFIX_BYTES + length
    return end + -end % _ALIGNMENT


def _parts(column: np.ndarray | Blocks) -> Iterator[memoryview]:
    parts = column.parts() if isinstance(column, Blocks) else [column]
    for part in parts:
        little = np.ascontiguousarray(part, part.dtype.newbyteorder('<'))
        yield memoryview(little.reshape(-1).view(np.uint8))
