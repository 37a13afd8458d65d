"""Segmentations of many annotations as a few long arrays."""

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from plugins.annotations.cache.coordinates import as_hundredths, to_pixels
from plugins.annotations.cache.scanning import OTHER, scan_polygons
from plugins.annotations.rle import rle_fault
from plugins.annotations.segmentations import ring_fault

_LARGEST_EXACT = 2**53


class Segmentations(NamedTuple):
    """Segmentations of N annotations.

    Attributes:
        coordinates: (C,), int32 in hundredths of a pixel, or float64 in pixels if some are no
            hundredths.
        ring_length: int32 (R,), coordinates of each ring.
        ring_count: int32 (N,), rings of each annotation; 0 for one that has something else.
        texts: What those have as JSON, by position; nothing for an empty value.
        is_suspect: bool (N,), which may be at fault; all others are not.
    """

    coordinates: np.ndarray
    ring_length: np.ndarray
    ring_count: np.ndarray
    texts: dict[int, bytes]
    is_suspect: np.ndarray


def read_segmentations(
    texts: Sequence,
    decode: Callable[[object], object],
    size_of: Callable[[int], tuple[int, int] | None],
) -> Segmentations:
    """Read segmentations from JSON text.

    Args:
        texts: N valid JSON texts, as objects that show their bytes.
        decode: Makes the value of such a text; called for all but plain polygons.
        size_of: Height and width of the image of the k-th, None if it is not known.
    """
    coordinates, ring_length, ring_count = scan_polygons(texts)
    rest = np.flatnonzero(ring_count == OTHER)
    if len(rest) == 0:
        return Segmentations(coordinates, ring_length, ring_count, {}, np.zeros(len(texts), bool))
    others = flatten_segmentations(
        [decode(texts[k]) for k in rest.tolist()], lambda k: size_of(int(rest[k]))
    )
    return _merge(coordinates, ring_length, ring_count, rest, others)


def flatten_segmentations(
    values: Sequence[object], size_of: Callable[[int], tuple[int, int] | None]
) -> Segmentations:
    """Flatten segmentations that are Python objects.

    Args:
        values: N segmentations as they stand in records, whatever they are.
        size_of: As for `read_segmentations`.
    """
    flat: list[np.ndarray] = []
    lengths: list[int] = []
    ring_count = np.zeros(len(values), np.int32)
    texts: dict[int, bytes] = {}
    is_suspect = np.zeros(len(values), bool)
    for k, value in enumerate(values):
        is_suspect[k] = _is_suspect(value, size_of(k))
        coordinates = _coordinates(value)
        if coordinates is not None:
            flat.append(coordinates)
            lengths.extend(map(len, value))
            ring_count[k] = len(value)
        elif value:
            # Python's own writer, as it has NaN, infinity and numbers of any length.
            texts[k] = json.dumps(value).encode()
    coordinates = as_hundredths(np.concatenate([np.zeros(0), *flat]))
    return Segmentations(coordinates, np.array(lengths, np.int32), ring_count, texts, is_suspect)


def _is_suspect(value: object, size: tuple[int, int] | None) -> bool:
    if type(value) is list and value:
        return any(map(ring_fault, value))
    if type(value) is dict and value and size is not None:
        return rle_fault(value, *size) is not None
    return True


def _coordinates(value: object) -> np.ndarray | None:
    """All numbers of a list of lists of numbers, if it is one and float64 holds them exactly."""
    if type(value) is not list or not value or any(type(ring) is not list for ring in value):
        return None
    kinds = set(map(type, chain.from_iterable(value)))
    if not kinds <= {int, float}:
        return None
    try:
        flat = np.fromiter(chain.from_iterable(value), np.float64)
    except OverflowError:
        return None
    if int in kinds and (np.abs(flat) >= _LARGEST_EXACT).any():
        return None
    return flat


def _merge(
    coordinates: np.ndarray,
    ring_length: np.ndarray,
    ring_count: np.ndarray,
    rest: np.ndarray,
    others: Segmentations,
) -> Segmentations:
    """Put the segmentations of ``rest`` into their places among those that were scanned."""
    in_rest = np.zeros(len(ring_count), bool)
    in_rest[rest] = True
    counts = np.where(in_rest, 0, ring_count)
    counts[rest] = others.ring_count
    ring_in_rest = np.repeat(in_rest, counts)
    lengths = np.empty(len(ring_in_rest), np.int32)
    lengths[~ring_in_rest], lengths[ring_in_rest] = ring_length, others.ring_length
    mine = np.repeat(ring_in_rest, lengths)
    theirs = others.coordinates
    if coordinates.dtype != theirs.dtype:
        coordinates, theirs = to_pixels(coordinates), to_pixels(theirs)
    merged = np.empty(len(mine), coordinates.dtype)
    merged[~mine], merged[mine] = coordinates, theirs
    is_suspect = np.zeros(len(counts), bool)
    is_suspect[rest] = others.is_suspect
    texts = {int(rest[k]): text for k, text in others.texts.items()}
    return Segmentations(merged, lengths, counts.astype(np.int32), texts, is_suspect)
