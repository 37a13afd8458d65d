"""The best few of many scores, with ties in a fixed order, on the CPU and elsewhere."""

import numpy as np
import torch
from torch import Tensor

from plugins.compilation import compiled

BLOCK = 32
"""Scores that are compared at once, before any of them is looked at."""

_INDEX_BITS = 32
_LAST_INDEX = 2**_INDEX_BITS - 1
_NONE = torch.iinfo(torch.int64).min


def top_scores(scores: Tensor, thresholds: Tensor, count: int) -> Tensor:
    """Where the highest finite scores above their thresholds are.

    Only a few are ever sorted: the CPU reads the scores once and remembers those that can still be
    among the best. Elsewhere it is one ``topk``, and the host waits once, for how many there are.

    Args:
        scores: float32 (R, C) with less than 2**32 entries; NaN and infinities are left out.
        thresholds: float32 (C,), on any device; a score at its threshold is left out.
        count: How many to find at most, 1 or more.

    Returns:
        int64 (K,) with K <= count, indices of the flattened scores on their device, by falling
        score; equal scores by rising index.
    """
    if scores.numel() == 0:
        return torch.zeros(0, dtype=torch.int64, device=scores.device)
    count = min(count, scores.numel())
    if scores.device.type == 'cpu':
        keys = torch.from_numpy(_read_once(scores.detach(), thresholds, count))
    else:
        keys = _compare_all(scores.detach(), thresholds, count)
    return _LAST_INDEX - (keys & _LAST_INDEX)


def _compare_all(scores: Tensor, thresholds: Tensor, count: int) -> Tensor:
    """Keys of the best scores, falling. A key is the score's bits, then its index reversed."""
    scores = scores + 0.0  # of two zeros, none is the lower
    bits = scores.contiguous().view(torch.int32)
    # The larger the magnitude of a negative float, the larger its bits.
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64).flatten()
    index = torch.arange(bits.numel(), device=bits.device)
    keys = (bits << _INDEX_BITS) | (_LAST_INDEX - index)
    valid = (scores > thresholds.to(scores.device)) & (scores < torch.inf)
    best = torch.where(valid.flatten(), keys, _NONE).topk(count).values
    return best[best > _NONE]


def _read_once(scores: Tensor, thresholds: Tensor, count: int) -> np.ndarray:
    """Return the same keys, without one for every score."""
    rows, columns = scores.shape
    if scores.stride(1) != 1:
        scores = scores.contiguous()
    stride = scores.stride(0)
    line = scores.as_strided(((rows - 1) * stride + columns,), (1,)).numpy()
    limits = np.ascontiguousarray(thresholds.cpu().numpy())
    keys = np.empty(min(4 * count, scores.numel()) + columns, np.int64)
    floor, row, found = limits.min(), 0, 0
    while row < rows:
        row, found = _collect(
            line, line.view(np.int32), stride, limits, floor, rows, row, keys, found
        )
        if found > count:
            keys[:found].partition(found - count)
            keys[:count] = keys[found - count : found]
            found = count
            # Scores are read by rising index: a later one at the floor has lost already.
            floor = _score(keys[0])
    return np.sort(keys[:found])[::-1].copy()


def _score(key: np.int64) -> np.float32:
    bits = np.int32(key >> _INDEX_BITS)
    return (bits if bits >= 0 else bits ^ np.int32(0x7FFFFFFF)).view(np.float32)


@compiled
def _collect(scores, bits, stride, thresholds, floor, rows, row, keys, found):
    """Append the keys of scores above the floor, row by row, as long as a row fits.

    Args:
        scores: float32, row after row.
        bits: int32, the same memory.
        stride: Distance of two rows.
        thresholds: float32 (C,), of the columns.
        floor: float32, what no interesting score is at or below.
        rows: Number of rows.
        row: The first one to read.
        keys: int64, filled from ``found`` on.
        found: Number of keys so far.

    Returns:
        The next row to read and the new number of keys.
    """
    columns = thresholds.shape[0]
    while row < rows and found + columns <= keys.shape[0]:
        first = row * stride
        for start in range(0, columns, BLOCK):
            block = scores[first + start : first + min(start + BLOCK, columns)]
            above = 0
            for i in range(block.shape[0]):
                above += block[i] > floor
            if above == 0:
                continue
            for i in range(block.shape[0]):
                score = block[i]
                if score > floor and score > thresholds[start + i] and score < np.inf:
                    order = np.int64(bits[first + start + i]) if score != 0 else np.int64(0)
                    if order < 0:
                        order ^= 0x7FFFFFFF
                    index = row * columns + start + i
                    keys[found] = (order << _INDEX_BITS) | (_LAST_INDEX - index)
                    found += 1
        row += 1
    return row, found
