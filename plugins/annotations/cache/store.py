"""The annotations of a file, read from its cache as they are asked for."""

import json
import mmap
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from plugins.annotations.cache.coordinates import to_pixels
from plugins.annotations.cache.layout import (
    ENCODING,
    PREFIX_BYTES,
    DamagedCacheError,
    has_intact_arrays,
    read_columns,
    read_header,
)
from plugins.annotations.problems import Problem
from plugins.errors import UserError


class Instances(NamedTuple):
    """Annotations of one image, in the order of the file.

    Attributes:
        boxes_xyxy: Corners in pixels of the image, float, one list of four per annotation.
        categories: Positions among the categories by increasing id.
        is_crowd: 0 or 1 each.
        segmentations: Polygons, lists of float, pixels; or what else the file has, such as a
            run-length mask; an empty list for nothing.
    """

    boxes_xyxy: list[list[float]]
    categories: list[int]
    is_crowd: list[int]
    segmentations: list


class AnnotationStore:
    """Annotations in the columns of a cache.

    The columns of a cache on disk are mapped, not read: opening costs next to nothing, and all
    processes share the same pages. Pickled, such a store is the path of its cache.

    Args:
        buffer: A cache, read-only.
        path: Where the buffer is mapped from; None for one that is in this process's memory.

    Raises:
        DamagedCacheError: It is no complete cache of this format.

    Attributes:
        content: SHA-256 of the annotation file, hexadecimal.
        names: Names of the categories, by increasing id.
        category_ids: int (K,), likewise.
        category_count: int (K + 1,), annotations of each category, also those that are left out;
            last those of ids that the file does not list.
        category_first_row: Position in the file of the first of them, -1 for none; its id is in
            ``category_first_annotation``, and ``category_first_id`` is its category id.
        problems: What the checks found in the file.
        image_ids: int (I,), images in the order of the file.
        heights: int (I,), pixels.
        widths: int (I,), pixels.
        pointer: int (I + 1,), where the annotations of each image begin.
        categories: int (M,), of each annotation, positions by increasing id.
        is_crowd: bool (M,).
    """

    def __init__(self, buffer: memoryview, path: Path | None = None) -> None:
        header = read_header(buffer)
        columns = read_columns(buffer, header)
        self.path = path
        self.content, self.names = header.content, header.names
        self.problems = [Problem(**fields) for fields in header.problems]
        self.category_ids = columns['category_id']
        self.category_count = columns['category_count']
        self.category_first_row = columns['category_first_row']
        self.category_first_annotation = columns['category_first_annotation']
        self.category_first_id = columns['category_first_id']
        self.image_ids = columns['image_id']
        self.heights, self.widths = columns['height'], columns['width']
        self.pointer = columns['pointer']
        self.categories = columns['category']
        self.is_crowd = columns['is_crowd']
        self._buffer, self._columns = buffer, columns
        self._has_texts = len(columns['text_row']) > 0

    @classmethod
    def open(cls, path: str | os.PathLike) -> 'AnnotationStore':
        """Map a cache.

        Raises:
            OSError: It cannot be read.
            DamagedCacheError: It is no complete cache of this format.
        """
        with open(path, 'rb') as file:
            if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
                raise DamagedCacheError('it is empty')
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(memoryview(mapped), Path(path).absolute())

    def __reduce__(self) -> tuple:
        """What another process needs to have the same store."""
        if self.path is None:
            return _restore, (bytes(self._buffer),)
        return _reopen, (self.path, bytes(self._buffer[:PREFIX_BYTES]))

    def __deepcopy__(self, memo: dict) -> 'AnnotationStore':
        return self

    @property
    def num_images(self) -> int:
        """I."""
        return len(self.image_ids)

    def is_intact(self) -> bool:
        """Whether all columns are as they were written; reads all of them."""
        return has_intact_arrays(self._buffer)

    def image_name(self, image: int) -> str:
        """Name of an image below the image folder."""
        start, end = self._columns['name_pointer'][image : image + 2]
        return self._columns['name'][start:end].tobytes().decode(**ENCODING)

    def image_names(self) -> Iterator[str]:
        """Names of all images."""
        text = self._columns['name'].tobytes()
        pointer = self._columns['name_pointer'].tolist()
        return (text[a:b].decode(**ENCODING) for a, b in pairwise(pointer))

    def verified_absent(self, image: int) -> np.ndarray:
        """Positions of the categories in ``neg_category_ids``, int (A,)."""
        return self._listed('neg', image)

    def not_exhaustive(self, image: int) -> np.ndarray:
        """Positions of the categories in ``not_exhaustive_category_ids``, int (B,)."""
        return self._listed('not_exhaustive', image)

    def instances(self, image: int) -> Instances:
        """Annotations of an image."""
        start, end = self.pointer[image : image + 2].tolist()
        boxes = np.array(self._columns['box'][start:end])
        boxes[:, 2:] += boxes[:, :2]
        return Instances(
            boxes.tolist(),
            self.categories[start:end].tolist(),
            self.is_crowd[start:end].view(np.uint8).tolist(),
            self._segmentations(start, end),
        )

    def _listed(self, name: str, image: int) -> np.ndarray:
        start, end = self._columns[f'{name}_pointer'][image : image + 2]
        return self._columns[f'{name}_category'][start:end]

    def _segmentations(self, start: int, end: int) -> list:
        rings = self._columns['ring_pointer'][start : end + 1].tolist()
        ends = self._columns['coordinate_pointer'][rings[0] : rings[-1] + 1].tolist()
        flat = to_pixels(self._columns['coordinate'][ends[0] : ends[-1]]).tolist()
        first = ends[0]
        polygons = [flat[a - first : b - first] for a, b in pairwise(ends)]
        first = rings[0]
        found = [polygons[a - first : b - first] for a, b in pairwise(rings)]
        if self._has_texts:
            self._add_texts(found, start, end)
        return found

    def _add_texts(self, found: list, start: int, end: int) -> None:
        rows, pointer = self._columns['text_row'], self._columns['text_pointer']
        first, stop = np.searchsorted(rows, (start, end)).tolist()
        for k in range(first, stop):
            text = self._columns['text'][pointer[k] : pointer[k + 1]].tobytes()
            found[rows[k] - start] = json.loads(text)


def _restore(content: bytes) -> AnnotationStore:
    return AnnotationStore(memoryview(content))


def _reopen(path: Path, prefix: bytes) -> AnnotationStore:
    try:
        with open(path, 'rb') as file:
            is_same = file.read(PREFIX_BYTES) == prefix
    except OSError:
        is_same = False
    if not is_same:
        raise UserError(
            f'{path}: this cache was deleted or rebuilt after the run had opened it; start the run '
            'again'
        )
    return AnnotationStore.open(path)
