"""Results as a list of dicts, in every form that the reference evaluators take."""

from collections.abc import Mapping, Sequence

import numpy as np
import pycocotools.mask as mask_util

from plugins.annotations.rle import rle_fault
from plugins.annotations.segmentations import ring_fault
from plugins.evaluation.engine.polygons import LARGEST_COORDINATE
from plugins.evaluation.engine.records import ResultsError
from plugins.evaluation.engine.result_columns import ResultColumns

_RING_FAULTS = {
    'polygon-type': 'a polygon that is not a list of numbers',
    'short-polygon': 'a polygon of fewer than three points',
    'odd-polygon': 'a polygon of an odd number of coordinates',
    'nan-polygon': 'a polygon coordinate that is no number of pixels',
}


class _FaultError(ValueError):
    """What is wrong with one result, as the end of a sentence that names it."""


def gather_entries(
    entries: Sequence[object],
    sizes: Mapping[int, tuple[int, int]],
    *,
    boxes: bool,
    masks: bool,
    source: str,
    first_index: int = 0,
) -> ResultColumns:
    """Gather the columns of results.

    Args:
        entries: N results ``{'image_id', 'category_id', 'score', 'bbox' and/or 'segmentation'}``.
        sizes: Height and width of every image in pixels, for masks that do not tell.
        boxes: Every result needs a box.
        masks: Every result needs a mask: a compressed or plain run-length code, polygons, or a box
            to be filled.
        source: Where they came from, for messages.
        first_index: Index of the first one in the source.

    Returns:
        The columns; `rle` holds the codes of the masks, one behind the other.

    Raises:
        ResultsError: A result lacks a key, or a value cannot be used.
    """
    images, categories, scores, corners, codes, shapes = [], [], [], [], [], []
    for index, entry in enumerate(entries, first_index):
        try:
            if not isinstance(entry, Mapping):
                raise _FaultError('is not an object')
            images.append(_whole(entry, 'image_id'))
            categories.append(_whole(entry, 'category_id'))
            scores.append(_finite(entry, 'score'))
            if boxes:
                corners.append(_box(entry))
            if masks:
                # An unknown image is the caller's to report, with the number of such results.
                shape, code = _mask(entry, sizes.get(images[-1], (1, 1)))
                shapes.append(shape)
                codes.append(code)
        except _FaultError as fault:
            raise ResultsError(f'{source}: result {index}{_place(entry)} {fault}') from None
    length = np.array([len(code) for code in codes], np.int32)
    return ResultColumns(
        image_id=np.array(images, np.int64),
        category_id=np.array(categories, np.int64),
        score=np.array(scores, np.float64),
        box=np.array(corners, np.float64).reshape(-1, 4) if boxes else None,
        rle_offset=np.cumsum(length, dtype=np.int64) - length if masks else None,
        rle_length=length if masks else None,
        rle_size=np.array(shapes, np.int32).reshape(-1, 2) if masks else None,
        rle=np.frombuffer(b''.join(codes), np.uint8) if masks else None,
    )


def _place(entry: object) -> str:
    if not isinstance(entry, Mapping):
        return ''
    named = [f'{key[:-3]} {entry[key]}' for key in ('image_id', 'category_id') if key in entry]
    return f' ({", ".join(named)})' if named else ''


def _value(entry: Mapping, key: str) -> object:
    if key not in entry:
        raise _FaultError(f'has no `{key}`')
    return entry[key]


def _whole(entry: Mapping, key: str) -> int:
    value = _value(entry, key)
    if type(value) is int:
        whole = value
    elif isinstance(value, float | np.number) and value == value // 1:
        whole = int(value)
    else:
        raise _FaultError(f'has {key} {value!r}, which is not a whole number')
    if not -(2**63) <= whole < 2**63:
        raise _FaultError(f'has {key} {whole}, which is too large')
    return whole


def _finite(entry: Mapping, key: str) -> float:
    return _as_finite(_value(entry, key), key)


def _as_finite(value: object, key: str) -> float:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if np.isfinite(number):
            return number
    raise _FaultError(f'has {key} {value}, which is not a finite number')


def _box(entry: Mapping) -> list[float]:
    box = _value(entry, 'bbox')
    if not isinstance(box, Sequence | np.ndarray) or isinstance(box, str) or len(box) != 4:
        raise _FaultError(f'has bbox {box!r}; it must be [x, y, width, height]')
    return [_as_finite(value, 'bbox') for value in box]


def _mask(entry: Mapping, size: tuple[int, int]) -> tuple[tuple[int, int], bytes]:
    """Size and compressed code of a mask."""
    if 'segmentation' not in entry and 'bbox' in entry:
        x, y, width, height = _box(entry)
        right, bottom = x + width, y + height
        return size, _encode_polygons([[x, y, x, bottom, right, bottom, right, y]], size)
    mask = _value(entry, 'segmentation')
    if isinstance(mask, list) and mask:
        return size, _encode_polygons(mask, size)
    if not isinstance(mask, Mapping):
        raise _FaultError('has a segmentation that is neither polygons nor a run-length code')
    counts, shape = _value(mask, 'counts'), _value(mask, 'size')
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if (
        not isinstance(shape, list | tuple)
        or len(shape) != 2
        or not all(isinstance(v, int) and 0 <= v < 2**31 for v in shape)
    ):
        raise _FaultError(f'has a mask of size {shape!r}; it must be [height, width]')
    if isinstance(counts, bytes | str):
        # Every character of a code is ASCII; another one is found when the code is decoded.
        return tuple(shape), counts.encode('utf-8') if isinstance(counts, str) else counts
    if not isinstance(counts, list):
        raise _FaultError('has a mask whose counts are neither text nor a list')
    height, width = shape
    fault = rle_fault({'size': [height, width], 'counts': counts}, height, width)
    if fault is not None:
        raise _FaultError(f'has an unusable run-length code: {fault}')
    plain = {'size': [height, width], 'counts': counts}
    return (height, width), mask_util.frPyObjects(plain, height, width)['counts']


def _encode_polygons(rings: list, size: tuple[int, int]) -> bytes:
    for ring in rings:
        code = ring_fault(ring)
        if code is None and max(map(abs, ring)) > LARGEST_COORDINATE:
            code = 'nan-polygon'
        if code is not None:
            raise _FaultError(f'has {_RING_FAULTS[code]}')
    return mask_util.merge(mask_util.frPyObjects(rings, *size))['counts']
