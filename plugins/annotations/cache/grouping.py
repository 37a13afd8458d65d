"""The columns of a cache: what a data set keeps of a file, image by image."""

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from plugins.annotations.cache.layout import ENCODING, Blocks
from plugins.annotations.cache.scanning import gather
from plugins.annotations.cache.table import AnnotationTable
from plugins.annotations.federated import FEDERATED_KEYS
from plugins.annotations.images import image_name, image_path

_WRITTEN_ROWS = 16_384


def group_by_image(
    table: AnnotationTable, images: list[dict], category_ids: np.ndarray
) -> dict[str, np.ndarray | Blocks]:
    """Select and order what a data set serves.

    Annotations are left out that mmdet's data sets leave out: those marked ``ignore``, without
    overlap with their image, of an area that is not positive or with a side below one pixel.

    Args:
        table: All annotations.
        images: Records of the images.
        category_ids: int64 (K,), in the file's order.

    Returns:
        The columns, those that `AnnotationStore` describes.
    """
    by_id = np.argsort(category_ids, kind='stable')
    rank = np.full(len(category_ids) + 1, -1, np.int64)
    rank[by_id] = np.arange(len(by_id))  # the last entry serves position -1, unknown
    rows, image = _rows_by_image(table)
    is_kept = _is_kept(table, rows, image)
    rows, image = rows[is_kept], image[is_kept]
    columns = {
        'category_id': _narrow(category_ids[by_id]),
        **_first_of_categories(table, rank),
        **_image_columns(table, images),
    }
    for key in FEDERATED_KEYS:
        columns.update(_federated_columns(key, images, table, rank))
    columns.update(
        pointer=_narrow(_pointer(np.bincount(image, minlength=len(images)))),
        annotation_id=_narrow(table['id'][rows]),
        category=_narrow(rank[table['category'][rows]]),
        is_crowd=table['is_crowd'][rows],
        box=table['box'][rows],
        **_text_columns(table, rows),
        **_ring_columns(table, rows),
    )
    return columns


def _rows_by_image(table: AnnotationTable) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the table in the order of images, and the image of each.

    Should an image id be used twice, then both images get all its annotations.
    """
    order = np.argsort(table['image'], kind='stable')
    ordered = table['image'][order]
    first = table.images.find(table.images.ids)
    start = np.searchsorted(ordered, first, 'left')
    count = np.searchsorted(ordered, first, 'right') - start
    return order[_stretches(start, count)], np.repeat(np.arange(len(first)), count)


def _is_kept(table: AnnotationTable, rows: np.ndarray, image: np.ndarray) -> np.ndarray:
    x, y, width, height = table['box'][rows].T
    # Comparisons with NaN are false: a box that is none meets no image, and an area that is none
    # is no reason to leave the annotation out.
    meets = (np.minimum(x + width, table.widths[image]) > np.maximum(x, 0)) & (
        np.minimum(y + height, table.heights[image]) > np.maximum(y, 0)
    )
    too_small = (table['area'][rows] <= 0) | (width < 1) | (height < 1)
    is_known = table['category'][rows] >= 0
    return meets & is_known & ~too_small & ~table['is_ignored'][rows]


def _first_of_categories(table: AnnotationTable, rank: np.ndarray) -> dict[str, np.ndarray]:
    """How many annotations each category has, kept or not, and which is the first; unknown last."""
    place = rank[table['category']]
    first = np.full(len(rank), -1, np.int64)
    # The first row of each category is the one that is written last.
    first[place[::-1]] = np.arange(len(place))[::-1]
    return {
        'category_count': np.bincount(place % len(rank), minlength=len(rank)),
        'category_first_row': first,
        'category_first_annotation': np.append(table['id'], 0)[first],
        'category_first_id': np.append(table['category_id'], 0)[first],
    }


def _image_columns(table: AnnotationTable, images: list[dict]) -> dict[str, np.ndarray]:
    names = [(image_name(record) or image_path(record, '')).encode(**ENCODING) for record in images]
    return {
        'image_id': _narrow(table.images.ids),
        'height': _narrow(table.heights),
        'width': _narrow(table.widths),
        'name_pointer': _narrow(_pointer([len(name) for name in names])),
        'name': np.frombuffer(b''.join(names), np.uint8),
    }


def _federated_columns(
    key: str, images: list[dict], table: AnnotationTable, rank: np.ndarray
) -> dict[str, np.ndarray]:
    """A federated list of all images as compressed rows; ids of no category are left out."""
    lists = [record.get(key) or () for record in images]
    ids = np.fromiter(itertools.chain.from_iterable(lists), np.int64)
    place = table.categories.find(ids)
    is_known = place >= 0
    image = np.repeat(np.arange(len(lists)), [len(ids) for ids in lists])[is_known]
    short = key.removesuffix('_category_ids')
    return {
        f'{short}_pointer': _narrow(_pointer(np.bincount(image, minlength=len(lists)))),
        f'{short}_category': _narrow(rank[place[is_known]]),
    }


def _text_columns(table: AnnotationTable, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Segmentations that are no polygons, as JSON."""
    has_text = np.zeros(len(table['id']), bool)
    has_text[list(table.texts)] = True
    text_row = np.flatnonzero(has_text[rows])
    texts = [table.texts[row] for row in rows[text_row].tolist()]
    return {
        'text_row': _narrow(text_row),
        'text_pointer': _narrow(_pointer([len(text) for text in texts])),
        'text': np.frombuffer(b''.join(texts), np.uint8),
    }


def _ring_columns(table: AnnotationTable, rows: np.ndarray) -> dict[str, np.ndarray | Blocks]:
    ring_start, end = _pointer(table['ring_count']), _pointer(table['ring_length'])
    count = table['ring_count'][rows]
    length = table['ring_length'][_stretches(ring_start[rows], count)]
    start = end[ring_start[rows]]
    num_coordinates = end[ring_start[rows + 1]] - start
    coordinates = table['coordinates']
    return {
        'ring_pointer': _narrow(_pointer(count)),
        'coordinate_pointer': _narrow(_pointer(length)),
        'coordinate': Blocks(
            coordinates.dtype,
            int(num_coordinates.sum()),
            partial(_gathered, coordinates, start, num_coordinates),
        ),
    }


def _gathered(source: np.ndarray, start: np.ndarray, length: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(start), _WRITTEN_ROWS):
        part = slice(first, first + _WRITTEN_ROWS)
        target = np.empty(int(length[part].sum()), source.dtype)
        gather(source, start[part], length[part], target)
        yield target


def _pointer(lengths: np.ndarray | list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _stretches(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Positions of stretches of an array, one stretch after the other."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(int(np.sum(length)))


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest signed type that holds them."""
    low, high = values.min(initial=0), values.max(initial=0)
    for dtype in (np.int16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values
