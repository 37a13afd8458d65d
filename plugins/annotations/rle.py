"""Run-length encoded masks in COCO's format, read without trusting them.

pycocotools decodes in C and writes as many pixels as the runs say, so runs from a file are checked
here before they reach it.
"""

import numpy as np

_LARGEST_MASK = 2**31


def run_lengths(counts: str | bytes | list) -> np.ndarray:
    """Lengths of the alternating 0- and 1-runs, in column-major pixel order.

    Args:
        counts: Compressed (text) or uncompressed (list of ints) runs.

    Returns:
        int64 (R,).

    Raises:
        ValueError: The text is not a complete run-length code, or the list holds no whole numbers.
    """
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run < _LARGEST_MASK for run in counts):
            raise ValueError('run lengths must be whole numbers >= 0')
        return np.array(counts, np.int64)
    raw = counts.encode('ascii') if isinstance(counts, str) else bytes(counts)
    return _decompress(np.frombuffer(raw, np.uint8).astype(np.int64) - 48)


def _decompress(symbols: np.ndarray) -> np.ndarray:
    # Five bits a symbol, lowest first; bit 5 says that more follow, bit 4 of the last is the sign.
    if len(symbols) == 0:
        return np.zeros(0, np.int64)
    if symbols.min() < 0 or symbols.max() > 63 or symbols[-1] & 32:
        raise ValueError('not a complete run-length code')
    ends = np.flatnonzero((symbols & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts + 1
    if length.max() > 7:
        raise ValueError('a run is longer than any image')
    place = np.arange(len(symbols)) - np.repeat(starts, length)
    runs = np.add.reduceat((symbols & 31) << (5 * place), starts)
    runs -= np.where(symbols[ends] & 16, 1 << (5 * length), 0)
    # From the fourth on, a run is stored as its difference from the one two before.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def rle_fault(segmentation: dict, height: int, width: int) -> str | None:
    """What is wrong with a run-length encoded mask of an image, if anything.

    Args:
        segmentation: ``{'size': [height, width], 'counts': ...}``.
        height: Pixels of the image.
        width: Pixels of the image.

    Returns:
        A short reason, or None for a mask that can be decoded safely.
    """
    size, counts = segmentation.get('size'), segmentation.get('counts')
    if size != [height, width]:
        return f'size {size} for an image of [{height}, {width}]'
    if not isinstance(counts, (str, list)):
        return 'no counts'
    try:
        runs = run_lengths(counts)
    except ValueError as error:
        return str(error)
    if len(runs) and runs.min() < 0:
        return 'a negative run'
    if runs.sum() != height * width:
        return f'runs cover {runs.sum()} of {height * width} pixels'
    return None
