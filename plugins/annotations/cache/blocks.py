"""An annotation file taken apart: images, categories, and annotations a few thousand at a time."""

import codecs
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from plugins.annotations.columns import box_table
from plugins.annotations.reading import check_records, check_sections, read_annotations

_BLOCK = 16_384  # annotations
_TEXT_BLOCK = 1 << 20  # bytes


class IrregularFileError(Exception):
    """The fast reader does not take this file; `read_annotations` knows what is wrong, if it is."""


@dataclass(frozen=True)
class Block:
    """Consecutive annotations of a file.

    Attributes:
        ids: int64 (N,).
        image_ids: int64 (N,).
        category_ids: int64 (N,).
        boxes_xywh: float64 (N, 4), pixels; a row of NaN where the box is not four numbers.
        areas: float64 (N,), NaN where there is no number.
        is_crowd: bool (N,).
        is_ignored: bool (N,).
        segmentations: N values, or their JSON texts if `is_text`.
        is_text: What `segmentations` holds.
        record: Makes the record of the k-th.
    """

    ids: np.ndarray
    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    segmentations: Sequence
    is_text: bool
    record: Callable[[int], dict]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Parts:
    """What a file consists of.

    Attributes:
        images: Records.
        categories: Records.
        num_annotations: How many there are in the blocks.
        blocks: All annotations, in order; to be iterated once.
    """

    images: list[dict]
    categories: list[dict]
    num_annotations: int
    blocks: Iterator[Block]


class _Annotation(msgspec.Struct, gc=False):
    id: object = None
    image_id: object = None
    category_id: object = None
    bbox: object = None
    area: object = None
    iscrowd: object = None
    ignore: object = None
    segmentation: msgspec.Raw = msgspec.Raw(b'null')


class _File(msgspec.Struct):
    images: object
    annotations: list[msgspec.Raw]
    categories: object


def decode_text(text: bytes, path: str | os.PathLike) -> Parts:
    """Take apart the text of a file; its annotations stay text until their block is asked for.

    Args:
        text: JSON.
        path: The file, for messages.

    Raises:
        IrregularFileError: Now or while iterating, for a file that this reader does not take.
    """
    _check_encoding(text)
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IrregularFileError from error
    check_sections(msgspec.structs.asdict(file), path)
    check_records(file.images, 'images', path)
    check_records(file.categories, 'categories', path)
    annotations = file.annotations
    return Parts(file.images, file.categories, len(annotations), _text_blocks(annotations))


def read_slowly(path: str | os.PathLike) -> Parts:
    """Take apart a file that only Python's own reader takes, as one with NaN in it.

    Raises:
        AnnotationError: Says what is wrong with the file.
    """
    data = read_annotations(path)
    annotations = data['annotations']
    blocks = (_object_block(batch) for batch in _batches(annotations))
    return Parts(data['images'], data['categories'], len(annotations), blocks)


def _check_encoding(text: bytes) -> None:
    """Values that are skipped are not decoded, so their text is looked at here."""
    if text.isascii():
        return
    decoder = codecs.getincrementaldecoder('utf-8')()
    try:
        for start in range(0, len(text), _TEXT_BLOCK):
            decoder.decode(memoryview(text)[start : start + _TEXT_BLOCK])
        decoder.decode(b'', final=True)
    except UnicodeDecodeError as error:
        raise IrregularFileError from error


def _batches(annotations: list) -> Iterator[list]:
    for start in range(0, len(annotations), _BLOCK):
        yield annotations[start : start + _BLOCK]


def _text_blocks(annotations: list[msgspec.Raw]) -> Iterator[Block]:
    decoder = msgspec.json.Decoder(list[_Annotation])
    for texts in _batches(annotations):
        try:
            records = decoder.decode(b'[' + b','.join(texts) + b']')
            block = _block(
                [record.id for record in records],
                [record.image_id for record in records],
                [record.category_id for record in records],
                [record.bbox for record in records],
                [record.area for record in records],
                [record.iscrowd for record in records],
                [record.ignore for record in records],
                segmentations=[record.segmentation for record in records],
                is_text=True,
                record=lambda k, texts=texts: msgspec.json.decode(texts[k]),
            )
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise IrregularFileError from error
        yield block


def _object_block(records: list[dict]) -> Block:
    keys = ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd', 'ignore')
    return _block(
        *([record.get(key) for record in records] for key in keys),
        segmentations=[record.get('segmentation') for record in records],
        is_text=False,
        record=records.__getitem__,
    )


def _block(
    ids: list, image_ids: list, category_ids: list, boxes: list, areas: list, crowd: list,
    ignore: list, **rest: object,
) -> Block:  # fmt: skip
    return Block(
        *map(_integers, (ids, image_ids, category_ids)),
        boxes_xywh=box_table(boxes),
        areas=_numbers(areas),
        is_crowd=np.fromiter(map(bool, crowd), bool, len(crowd)),
        is_ignored=np.fromiter(map(bool, ignore), bool, len(ignore)),
        **rest,
    )


def _integers(values: list) -> np.ndarray:
    if not set(map(type, values)) <= {int}:
        raise IrregularFileError
    try:
        return np.fromiter(values, np.int64, len(values))
    except OverflowError as error:
        raise IrregularFileError from error


def _numbers(values: list) -> np.ndarray:
    if set(map(type, values)) <= {int, float}:
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:
            pass
    return np.fromiter(map(_number_or_nan, values), np.float64, len(values))


def _number_or_nan(value: object) -> float:
    if type(value) not in (int, float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
