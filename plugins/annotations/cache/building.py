"""From an annotation file to its cache, in one pass and in little memory."""

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from plugins.annotations.cache.blocks import IrregularFileError, Parts, decode_text, read_slowly
from plugins.annotations.cache.grouping import group_by_image
from plugins.annotations.cache.layout import Blocks, write_cache
from plugins.annotations.cache.stamps import FileStamp, has_settled, stamp_of
from plugins.annotations.cache.table import AnnotationTable
from plugins.annotations.problems import Problem
from plugins.annotations.reading import collector_paused, plain_text, read_bytes
from plugins.annotations.structure import gather_problems, refuse_fatal

_BAR_AFTER = 3.0  # seconds


@dataclass(frozen=True)
class BuiltCache:
    """What goes into a cache.

    Attributes:
        content: SHA-256 of the annotation file, hexadecimal.
        source: Its stamp when it was read; None if it cannot be relied on.
        names: Names of the categories, by increasing id.
        problems: What the checks found.
        columns: As `group_by_image` returns them.
    """

    content: str
    source: FileStamp | None
    names: list[str]
    problems: list[Problem]
    columns: Mapping[str, np.ndarray | Blocks]

    def write(self, file: BinaryIO) -> None:
        """Write the cache into an empty file."""
        problems = [asdict(problem) for problem in self.problems]
        write_cache(file, self.columns, content=self.content, names=self.names, problems=problems)


def build_cache(
    path: str | os.PathLike,
    *,
    name: str | os.PathLike,
    allow: Collection[str] = (),
    with_bar: bool = True,
) -> BuiltCache:
    """Read and check an annotation file.

    The checks, their messages and their order are those of `read_annotations` followed by
    `verify_annotations`.

    Args:
        path: The file.
        name: How messages call it.
        allow: Codes of fatal problems that are accepted.
        with_bar: Show a progress bar, on stderr, if it takes more than a few seconds.

    Raises:
        AnnotationError: The file cannot be used.
    """
    before = stamp_of(path)
    with collector_paused():
        raw = read_bytes(path)
        content = hashlib.sha256(raw).hexdigest()
        is_reliable = before is not None and stamp_of(path) == before and has_settled(before)
        try:
            parts = decode_text(plain_text(raw, path), path)
            del raw
            table = _fill(parts, name, with_bar)
        except IrregularFileError:
            parts = read_slowly(path)
            table = _fill(parts, name, with_bar)
        problems = _checked(parts, table, name, allow)
        columns = group_by_image(table, parts.images, table.categories.ids)
    categories = sorted(parts.categories, key=lambda category: category['id'])
    names = [category['name'] for category in categories]
    return BuiltCache(content, before if is_reliable else None, names, problems, columns)


def _fill(parts: Parts, name: str | os.PathLike, with_bar: bool) -> AnnotationTable:
    table = AnnotationTable(
        *(_integers(parts.images, key) for key in ('id', 'width', 'height')),
        _integers(parts.categories, 'id'),
    )
    bar = tqdm(
        total=parts.num_annotations,
        desc=f'reading {Path(name).name}',
        unit=' annotations',
        unit_scale=True,
        delay=_BAR_AFTER,
        disable=not with_bar,
        leave=False,
    )
    with bar:
        for block in parts.blocks:
            table.append(block)
            bar.update(len(block))
    return table


def _checked(
    parts: Parts, table: AnnotationTable, name: str | os.PathLike, allow: Collection[str]
) -> list[Problem]:
    data = dict(images=parts.images, categories=parts.categories)
    problems = gather_problems(data, table.columns(), table.suspects, table.suspect_columns())
    refuse_fatal(problems, name, allow)
    return problems


def _integers(records: list[dict], key: str) -> np.ndarray:
    return np.fromiter((record[key] for record in records), np.int64, len(records))
