"""Annotation files are read and written here: one parser, one clear error, atomic output."""

import gc
import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from plugins.atomic_file import atomic_file
from plugins.errors import UserError

SECTIONS = ('images', 'annotations', 'categories')
_REQUIRED = {
    'images': ('id', 'width', 'height'),
    'annotations': ('id', 'image_id', 'category_id'),
    'categories': ('id', 'name'),
}
_SINGULAR = {'images': 'image', 'annotations': 'annotation', 'categories': 'category'}
_GZIP_MAGIC = b'\x1f\x8b'
_LONGEST_TOKEN = 1024  # bytes; a file name or a number, not a mask
_UTF8_BOM = b'\xef\xbb\xbf'


class AnnotationError(UserError):
    """An annotation file that cannot be used; the message names the file and what to do."""


def read_json(path: str | os.PathLike) -> object:
    """Read a JSON file, plain or gzip, with one clear error.

    Args:
        path: File to read.

    Returns:
        Its content.

    Raises:
        AnnotationError: The file is missing, empty, truncated or not JSON.
    """
    path = Path(path)
    with collector_paused():
        return _parse(plain_text(read_bytes(path), path), path)


def read_annotations(path: str | os.PathLike) -> dict:
    """Read a COCO- or LVIS-format annotation file and check that every record can be addressed.

    Only JSON is parsed (plain or gzip, told apart by content), so reading never executes code.
    ``NaN`` and ``Infinity``, which Python's json writes although JSON has no such numbers, are
    accepted here so that the structure check can name the annotation they belong to.

    Args:
        path: File to read.

    Returns:
        The file's top-level object. ``images``, ``annotations`` and ``categories`` are lists of
        dicts; ids, ``width`` and ``height`` (pixels, >= 1) are ints within 64 bits.

    Raises:
        AnnotationError: The file is missing, empty, truncated, not JSON, has no images, or a
            section or a required key of a record is missing or of the wrong type.
    """
    path = Path(path)
    with collector_paused():
        data = read_json(path)
        check_sections(data, path)
        for section in SECTIONS:
            check_records(data[section], section, path)
    return data


def write_annotations(path: str | os.PathLike, data: dict) -> None:
    """Write an annotation file atomically: a reader sees the old file or the complete new one.

    Args:
        path: Destination; a name ending in ``.gz`` is compressed. Missing folders are made.
        data: Top-level object of the file.
    """
    path = Path(path)
    content = msgspec.json.encode(data)
    if path.suffix == '.gz':
        content = gzip.compress(content, compresslevel=6, mtime=0)
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Put a file's name in front of the `AnnotationError` of a block that only sees its data.

    Args:
        path: The file the data came from.
    """
    try:
        yield
    except AnnotationError as error:
        raise AnnotationError(f'{path}: {error}') from None


@contextmanager
def collector_paused() -> Iterator[None]:
    """Switch the cyclic garbage collector off for a block that makes millions of objects."""
    # Millions of new lists would make the cyclic collector scan them all again and again.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_bytes(path: str | os.PathLike) -> bytes:
    """Content of a file, with one clear error.

    Raises:
        AnnotationError: The file is missing or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise AnnotationError(f'{path}: this is a folder; give the annotation file itself')
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise AnnotationError(
            f'{path}: no such annotation file; check `ann_file` and `data_root`, or download it'
        ) from None
    except OSError as error:
        raise AnnotationError(f'{path}: cannot be read ({error.strerror}); check it') from None


def plain_text(content: bytes, path: str | os.PathLike) -> bytes:
    """Text of a JSON file: unpacked if it is gzip, without a byte order mark.

    Args:
        content: Of the file.
        path: The file, for the message.

    Raises:
        AnnotationError: The file is empty or damaged gzip.
    """
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise AnnotationError(
                f'{path}: damaged or truncated gzip file ({error}); download it again'
            ) from None
    content = content.removeprefix(_UTF8_BOM)
    if not content.strip():
        raise AnnotationError(f'{path}: the file is empty; download or write it again')
    return content


def _parse(content: bytes, path: Path) -> object:
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise AnnotationError(f'{path}: nested too deeply for an annotation file') from None
    except UnicodeDecodeError as error:
        raise AnnotationError(f'{path}: not UTF-8 text ({error.reason}); save it so') from None
    except msgspec.DecodeError as error:
        if 'truncated' in str(error):
            raise AnnotationError(_truncated(content, path)) from None
        return _parse_with_nan(content, path)


def _parse_with_nan(content: bytes, path: Path) -> object:
    try:
        return json.loads(content)
    except RecursionError:
        raise AnnotationError(f'{path}: nested too deeply for an annotation file') from None
    except json.JSONDecodeError as error:
        # A text that ends within a number or a string is refused for that token.
        is_last_token = error.msg != 'Extra data' and error.pos > len(content) - _LONGEST_TOKEN
        if content.lstrip().startswith(b'{') and is_last_token:
            raise AnnotationError(_truncated(content, path)) from None
        raise AnnotationError(
            f'{path}: not a JSON file (at byte {error.pos}: {error.msg}); check what it is'
        ) from None
    except ValueError as error:
        raise AnnotationError(f'{path}: not a JSON file ({error}); check what it is') from None


def _truncated(content: bytes, path: Path) -> str:
    return (
        f'{path}: the JSON text breaks off at byte {len(content)}; the file is truncated, download '
        'or write it again'
    )


def check_sections(data: object, path: str | os.PathLike) -> None:
    """Refuse a top-level object that does not have the three lists of an annotation file.

    Raises:
        AnnotationError: Says what is missing or of the wrong type.
    """
    if not isinstance(data, dict):
        raise AnnotationError(
            f'{path}: the top level must be an object with {", ".join(SECTIONS)}, '
            f'not {_kind(data)}; a result file cannot serve as an annotation file'
        )
    for section in SECTIONS:
        if section not in data:
            raise AnnotationError(
                f'{path}: `{section}` is missing; a COCO or LVIS annotation file needs '
                f'{", ".join(SECTIONS)}'
            )
        if not isinstance(data[section], list):
            raise AnnotationError(
                f'{path}: `{section}` must be a list of objects, not {_kind(data[section])}'
            )
    if not data['images']:
        raise AnnotationError(f'{path}: `images` is empty; nothing can be trained or tested on it')
    if not data['categories']:
        raise AnnotationError(f'{path}: `categories` is empty; list the categories in the file')


def check_records(records: list, section: str, path: str | os.PathLike) -> None:
    """Refuse records without the keys that every later step relies on.

    Args:
        records: Content of the section.
        section: One of `SECTIONS`.
        path: The file, for the message.

    Raises:
        AnnotationError: Names the first record at fault.
    """
    required = _REQUIRED[section]
    text_key = 'name' if section == 'categories' else None
    for index, record in enumerate(records):
        if type(record) is not dict:
            raise AnnotationError(
                f'{path}: {section}[{index}] must be an object, not {_kind(record)}'
            )
        for key in required:
            value = record.get(key)
            if key == text_key:
                fits = type(value) is str
            else:
                fits = type(value) is int and -(2**63) <= value < 2**63
            if not fits:
                raise AnnotationError(_key_fault(record, section, index, key, path))
        if section == 'images' and (record['width'] < 1 or record['height'] < 1):
            raise AnnotationError(
                f'{path}: image {record["id"]} has size {record["width"]}x{record["height"]}; '
                'write its true width and height'
            )


def _key_fault(record: dict, section: str, index: int, key: str, path: Path) -> str:
    place = f'{path}: {section}[{index}]'
    if key != 'id' and 'id' in record:
        place += f' ({_SINGULAR[section]} {record["id"]})'
    wanted = 'text' if key == 'name' else 'a whole number'
    if key not in record:
        return f'{place} has no `{key}`; add it ({wanted})'
    return f'{place} has {key}={record[key]!r}; it must be {wanted}'


def _kind(value: object) -> str:
    names = {dict: 'an object', list: 'a list', str: 'text', type(None): 'null'}
    return names.get(type(value), 'a number')
