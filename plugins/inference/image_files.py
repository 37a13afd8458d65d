"""Which images the command line means, and their pixels."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import mmcv
import numpy as np

from mmdet.apis.det_inferencer import IMG_EXTENSIONS
from plugins.errors import UserError

_WILDCARDS = frozenset('*?[')


@dataclass(frozen=True)
class ImageFile:
    """An image to predict on.

    Args:
        path: Where it is, as the user would write it.
        name: The same below the folder that all images of the run have in common, with forward
            slashes: differs for files of one name in different folders.
    """

    path: str
    name: str


def find_images(inputs: Sequence[str], *, leave_out: str | os.PathLike = '') -> list[ImageFile]:
    """List the images that files, folders and patterns stand for, each once.

    Args:
        inputs: Files, whatever they are called; folders, searched with all below them for what has
            the ending of an image; and patterns with ``*``, ``**``, ``?`` and ``[]``.
        leave_out: A folder in which nothing is looked for: pictures of an earlier run.

    Returns:
        In the order of the inputs, and of the names within each.

    Raises:
        UserError: An input does not exist or stands for no image.
    """
    found: dict[str, str] = {}
    for one in inputs:
        paths = _expand(one, os.path.abspath(leave_out) if leave_out else None)
        if not paths:
            raise UserError(f'{one} has no images ({", ".join(IMG_EXTENSIONS)})')
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    if not found:
        raise UserError('no images are given: name image files, folders or patterns')
    common = os.path.commonpath([os.path.dirname(path) for path in found])
    return [
        ImageFile(path, Path(os.path.relpath(absolute, common)).as_posix())
        for absolute, path in found.items()
    ]


def read_image(path: str) -> np.ndarray:
    """Decode an image file as mmdet's pipelines do, turned as its EXIF orientation says.

    Returns:
        uint8 (H, W, 3), BGR; grey is repeated, transparency dropped.

    Raises:
        UserError: The file cannot be read or is no image.
    """
    try:
        image = mmcv.imfrombytes(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f'{path} cannot be read ({error.strerror or error})') from error
    except cv2.error as error:
        raise UserError(f'{path} cannot be decoded ({error.err})') from error
    if image is None:
        raise UserError(f'{path} is not an image, or damaged')
    return image


def _expand(given: str, leave_out: str | None) -> list[str]:
    """Image files that one argument stands for, sorted."""
    if os.path.isdir(given):
        return [path for path in _files_below(given, leave_out) if _is_image(path)]
    if os.path.exists(given):
        return [given]
    if not _WILDCARDS & set(given):
        raise UserError(f'{given} does not exist')
    matches = sorted(glob.glob(given, recursive=True))
    return [path for path in matches if os.path.isfile(path) and _is_image(path)]


def _files_below(folder: str, leave_out: str | None) -> list[str]:
    files = []
    for parent, folders, names in os.walk(folder):
        if leave_out is not None:
            folders[:] = [
                name for name in folders if os.path.abspath(os.path.join(parent, name)) != leave_out
            ]
        files.extend(os.path.join(parent, name) for name in names)
    return sorted(files)


def _is_image(path: str) -> bool:
    return path.lower().endswith(IMG_EXTENSIONS)
