"""Where the image of a record lies, and which image files cannot be used."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

from plugins.annotations.reading import AnnotationError

_LVIS_V05_PREFIX = 'COCO_'
_COCO_NAME_LENGTH = len('000000391895.jpg')
_TAIL_BYTES = 4096
_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'
_PNG_START, _PNG_END = b'\x89PNG\r\n\x1a\n', b'IEND'
_BAR_FROM = 2000
_ORIENTATION = 0x0112
# Most names are such, and to take them apart costs more than to read the record.
_PLAIN_NAME = re.compile(r'\w[\w./ -]*')


@dataclass(frozen=True)
class Unreadable:
    """An image file that training could not load.

    Attributes:
        path: The file.
        code: ``missing-folder``, ``missing``, ``empty``, ``truncated``, ``undecodable`` or
            ``size``.
        detail: A few words, such as the sizes that differ; may be empty.
    """

    path: str
    code: str
    detail: str = ''


def image_name(record: dict) -> str | None:
    """Name of an image below the image folder.

    A `file_name` wins over `coco_url`, because COCO's own files hold both and their `file_name` is
    relative to the folder of the split, as configs expect. LVIS v1 has `coco_url` only; its last
    two parts are the split's folder and the name, since LVIS val mixes both COCO folders. LVIS v0.5
    writes ``COCO_val2014_000000xxxxxx.jpg`` for the file ``000000xxxxxx.jpg``.

    Args:
        record: Image record of an annotation file.

    Returns:
        Relative path with forward slashes, or None if the record names no file.

    Raises:
        AnnotationError: The name is absolute or climbs out of the folder.
    """
    file_name, url = record.get('file_name'), record.get('coco_url')
    if isinstance(file_name, str) and file_name:
        is_v05 = file_name.startswith(_LVIS_V05_PREFIX)
        name = file_name[-_COCO_NAME_LENGTH:] if is_v05 else file_name
    elif isinstance(url, str) and url:
        name = '/'.join(url.split('://', 1)[1].split('/')[-2:]) if '://' in url else url
    else:
        return None
    if _leaves_folder(name):
        raise AnnotationError(
            f'image {record.get("id")}: {name!r} is absolute or leaves the image folder; write '
            'names relative to the folder'
        )
    return name


def image_path(record: dict, folder: str | os.PathLike) -> str:
    """Path of the image of a record.

    Args:
        record: Image record of an annotation file.
        folder: Image folder of the data set.

    Returns:
        `folder` joined with `image_name`.

    Raises:
        AnnotationError: The record names no file, or one outside the folder.
    """
    name = image_name(record)
    if name is None:
        raise AnnotationError(
            f'image {record.get("id")} has neither `file_name` nor `coco_url`; add one of them'
        )
    return os.path.join(folder, name)


def find_missing(paths: Sequence[str]) -> list[Unreadable]:
    """Files that do not exist, by listing each folder once.

    Args:
        paths: Image files.

    Returns:
        The missing ones in the given order, as ``missing-folder`` where the whole folder is absent
        and ``missing`` otherwise.
    """
    listings: dict[str, frozenset[str] | None] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = _list_folder(folder or '.')
        listing = listings[folder]
        if listing is None:
            missing.append(Unreadable(path, 'missing-folder', folder))
        elif name not in listing:
            missing.append(Unreadable(path, 'missing'))
    return missing


def find_unreadable(
    paths: Sequence[str],
    sizes: Sequence[tuple[int, int]] | None = None,
    *,
    deep: bool = False,
    threads: int = 8,
) -> list[Unreadable]:
    """Image files that are missing, empty, truncated, not images or of another size.

    Without `deep` only headers and file ends are read. A JPEG counts as complete if its end marker
    lies in the last 4 kB (cameras pad files); one without it is decoded before it is blamed. Large
    sets show a progress bar.

    Args:
        paths: Image files.
        sizes: (width, height) of each image in pixels according to the annotations; None skips the
            comparison.
        deep: Decode every image as training does, EXIF orientation included.
        threads: Files looked at in parallel, >= 1.

    Returns:
        The unusable files in the given order.
    """
    sizes = [None] * len(paths) if sizes is None else sizes
    absent = {found.path: found for found in find_missing(paths)}
    jobs = [(p, s) for p, s in zip(paths, sizes, strict=True) if p not in absent]
    examine = partial(_examine, inspect=_decode if deep else _read_header)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        faults = dict(
            zip(
                (path for path, _ in jobs),
                _with_bar(pool.map(examine, jobs), len(jobs)),
                strict=True,
            )
        )
    found = (absent.get(path) or faults.get(path) for path in dict.fromkeys(paths))
    return [fault for fault in found if fault is not None]


def _with_bar(results: Iterable, total: int) -> Iterator:
    from tqdm import tqdm

    yield from tqdm(results, total=total, desc='images', unit='file', disable=total < _BAR_FROM)


def _leaves_folder(name: str) -> bool:
    if _PLAIN_NAME.fullmatch(name) and '..' not in name:
        return False
    windows = PureWindowsPath(name)
    return (
        '\0' in name
        or PurePosixPath(name).is_absolute()
        or bool(windows.drive or windows.root)
        or '..' in windows.parts
    )


def _list_folder(folder: str) -> frozenset[str] | None:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return None


def _examine(
    job: tuple[str, tuple[int, int] | None], inspect: Callable[[str], tuple[int, int]]
) -> Unreadable | None:
    path, size = job
    try:
        length = os.path.getsize(path)
        if length == 0:
            return Unreadable(path, 'empty')
        if not _is_complete(path, length):
            return Unreadable(path, 'truncated', f'{length:,} bytes without an end of image')
        actual = inspect(path)
    except (OSError, ValueError, SyntaxError) as error:
        return Unreadable(path, 'undecodable', str(error).split('\n')[0][:80])
    if size is not None and actual != tuple(size):
        return Unreadable(path, 'size', f'{_by(actual)}, annotated as {_by(size)}')
    return None


def _by(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def _is_complete(path: str, length: int) -> bool:
    with open(path, 'rb') as file:
        head = file.read(8)
        file.seek(max(0, length - _TAIL_BYTES))
        tail = file.read()
    if head.startswith(_JPEG_START):
        return _JPEG_END in tail or _decodes_fully(path)
    if head == _PNG_START:
        return _PNG_END in tail
    return True


def _decodes_fully(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def _read_header(path: str) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
        # Cameras write JPEG, and asking other formats for EXIF data decodes them. Orientations 5
        # to 8 lie on their side; the loader turns them upright.
        sideways = image.format == 'JPEG' and image.getexif().get(_ORIENTATION, 1) >= 5
    return (height, width) if sideways else (width, height)


def _decode(path: str) -> tuple[int, int]:
    import cv2
    import numpy as np

    content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError('cannot be decoded')
    return image.shape[1], image.shape[0]
