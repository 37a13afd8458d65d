"""Results as they were read: ids not yet looked up, nothing checked against the annotations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(slots=True)
class ResultColumns:
    """N results in the order of the file.

    Attributes:
        image_id: int64 (N,).
        category_id: int64 (N,).
        score: float64 (N,).
        box: float64 (N, 4), x, y, width, height in pixels, or None.
        rle_offset: int64 (N,), first byte of each mask's code in `rle`; None without masks.
        rle_length: int32 (N,), bytes; likewise.
        rle_size: int32 (N, 2), height and width in pixels; likewise.
        rle: uint8, read-only, the bytes that hold the codes; likewise.
        escaped: Two backslashes in `rle` stand for one.
    """

    image_id: np.ndarray
    category_id: np.ndarray
    score: np.ndarray
    box: np.ndarray | None = None
    rle_offset: np.ndarray | None = None
    rle_length: np.ndarray | None = None
    rle_size: np.ndarray | None = None
    rle: np.ndarray | None = None
    escaped: bool = False


def join_columns(parts: list[ResultColumns]) -> ResultColumns:
    """Results of several parts of a file, one after the other.

    Args:
        parts: At least one; all have boxes or none, and so with masks. Their arrays are given up
            one after the other, so that never more than one column is held twice. `rle` and
            `escaped` are for the caller to set.
    """
    joined = {}
    for name in ('image_id', 'category_id', 'score', 'box', 'rle_offset', 'rle_length', 'rle_size'):
        columns: Sequence[np.ndarray | None] = [getattr(part, name) for part in parts]
        for part in parts:
            setattr(part, name, None)
        joined[name] = None if columns[0] is None else np.concatenate(columns)
        del columns
    return ResultColumns(**joined)
