"""Masks of annotations, as JSON text, to pixel intervals."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pycocotools.mask as mask_util

from plugins.annotations import AnnotationError
from plugins.annotations.rle import rle_fault
from plugins.compilation import compiled
from plugins.evaluation.engine import scan_polygons as scan
from plugins.evaluation.engine.codes import Codes, decode
from plugins.evaluation.engine.polygons import LARGEST_COORDINATE, rasterise

_FAULTS = {
    scan.OTHER: 'a segmentation that is neither polygons nor a run-length mask',
    scan.EMPTY: 'no segmentation',
    scan.SHORT_RING: 'a polygon of fewer than three points',
    scan.ODD_RING: 'a polygon of an odd number of coordinates',
    scan.BAD_COORDINATE: f'a polygon coordinate beyond {LARGEST_COORDINATE:g} pixels',
}
_REPAIR = 'tools/data/coco_to_lvis.py drops or repairs such annotations'


class _RunLengths(msgspec.Struct):
    size: tuple[int, int]
    counts: str | list[int]


def read_masks(
    texts: Sequence, height: np.ndarray, width: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rasterise the polygons and decode the run-length masks of G annotations.

    Args:
        texts: G ``segmentation`` values, JSON text in objects that show their bytes.
        height: int32 (G,), rows of the image.
        width: int32 (G,).
        ids: int64 (G,), of the annotations, for messages.

    Returns:
        int64 (G + 1,), where the intervals of each mask begin, and their int32 starts and ends.

    Raises:
        AnnotationError: A mask is missing or unusable.
    """
    xy, ring_offset, rings = scan.scan_polygons(texts)
    coded = np.flatnonzero(rings == scan.OTHER)
    coded = coded[[bytes(memoryview(texts[place])[:1]) == b'{' for place in coded]]
    faulty = rings < 0
    faulty[coded] = False
    if faulty.any():
        first = int(np.flatnonzero(faulty)[0])
        text = bytes(texts[first])
        code = scan.EMPTY if text == b'null' else int(rings[first])
        raise AnnotationError(
            f'annotation {ids[first]} has {_FAULTS[code]} ({faulty.sum():,} annotations with an '
            f'unusable mask); {_REPAIR}'
        )
    mask_offset = np.concatenate([[0], np.cumsum(np.maximum(rings, 0))])
    filled = rasterise(xy, ring_offset, mask_offset, height, width)
    if not len(coded):
        return filled
    decoded = _decode_masks([texts[place] for place in coded], height, width, ids, coded)
    return _interleave(filled, decoded, coded)


def _decode_masks(
    texts: Sequence, height: np.ndarray, width: np.ndarray, ids: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intervals of the run-length masks at ``places``, as `read_masks` returns them."""
    counts = [
        _compress(text, int(height[place]), int(width[place]), int(ids[place]))
        for text, place in zip(texts, places, strict=True)
    ]
    length = np.array([len(one) for one in counts], np.int32)
    codes = Codes(
        np.frombuffer(b''.join(counts), np.uint8),
        np.cumsum(length, dtype=np.int64) - length,
        length,
        np.ascontiguousarray(height[places], np.int32),
        np.ascontiguousarray(width[places], np.int32),
        False,
    )
    # A run takes at least one character, an interval two runs.
    room = int((length.astype(np.int64) // 2 + 1).sum())
    start, end = np.empty(room, np.int32), np.empty(room, np.int32)
    offset = np.zeros(len(places) + 1, np.int64)
    broken = _decode_all(codes, offset, start, end)
    if broken >= 0:
        raise AnnotationError(
            f'annotation {ids[places[broken]]} has a run-length mask that does not cover its image '
            f'exactly; {_REPAIR}'
        )
    return offset, start[: offset[-1]], end[: offset[-1]]


def _compress(text: object, height: int, width: int, annotation: int) -> bytes:
    """Compressed counts of a mask in JSON, after a check of its size."""
    try:
        mask = msgspec.json.decode(text, type=_RunLengths)
    except msgspec.DecodeError as error:
        raise AnnotationError(
            f'annotation {annotation} has an unusable run-length mask ({error}); {_REPAIR}'
        ) from None
    fault = None
    if mask.size != (height, width):
        fault = f'size {list(mask.size)} for an image of [{height}, {width}]'
    elif isinstance(mask.counts, list):
        fault = rle_fault({'size': [height, width], 'counts': mask.counts}, height, width)
    if fault is not None:
        raise AnnotationError(
            f'annotation {annotation} has an unusable run-length mask ({fault}); {_REPAIR}'
        )
    if isinstance(mask.counts, str):
        return mask.counts.encode()
    plain = {'size': [height, width], 'counts': mask.counts}
    return mask_util.frPyObjects(plain, height, width)['counts']


@compiled
def _decode_all(codes, offset, start, end):
    """Decode every mask; returns the index of a broken one or -1."""
    for index in range(len(codes.length)):
        place = offset[index]
        found = decode(codes, index, start[place:], end[place:])
        if found < 0:
            return index
        offset[index + 1] = place + found
    return -1


def _interleave(filled: tuple, decoded: tuple, places: np.ndarray) -> tuple:
    """Put the intervals of the masks at ``places`` between those of the others."""
    lengths = np.diff(filled[0])
    lengths[places] = np.diff(decoded[0])
    offset = np.concatenate([[0], np.cumsum(lengths)])
    is_decoded = np.zeros(len(lengths), bool)
    is_decoded[places] = True
    from_decoded = np.repeat(is_decoded, lengths)
    start, end = np.empty(offset[-1], np.int32), np.empty(offset[-1], np.int32)
    for values, first, second in ((start, filled[1], decoded[1]), (end, filled[2], decoded[2])):
        values[~from_decoded] = first
        values[from_decoded] = second
    return offset, start, end
