"""A result file scanned in blocks, several at a time, into one set of columns."""

import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from plugins.evaluation.engine.result_columns import ResultColumns
from plugins.evaluation.engine.scan_results import (
    CATEGORY,
    HEIGHT,
    IMAGE,
    LENGTH,
    OFFSET,
    WIDTH,
    Room,
    scan_results,
)

_BLOCK = 1 << 25  # bytes
_BETWEEN = re.compile(rb'\}(\s*,\s*)\{')


class _Block(NamedTuple):
    """What was read from a block: the rows of its `Room` that are used."""

    integers: np.ndarray
    numbers: np.ndarray
    has_escapes: bool


def scan_file(
    text: memoryview,
    first: int,
    last: int,
    *,
    boxes: bool,
    masks: bool,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ResultColumns | None:
    """Read the results of a list without making objects of them.

    Args:
        text: The file.
        first: Where the list's first object begins.
        last: Position after the list's last object.
        boxes: Read boxes; without one in every result the scanner gives up.
        masks: Note where the masks are; likewise.
        threads: Blocks read at a time; None for one per processor.
        progress: Called with the numbers of blocks read and of all blocks.

    Returns:
        The results, or None where the file holds anything that is for a general parser.
    """
    array = np.frombuffer(text, np.uint8)
    blocks = _split(text, first, last)
    scanned: list[_Block] = []
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        for block in pool.map(lambda ends: _scan_block(array, *ends, boxes, masks), blocks):
            if block is None:
                pool.shutdown(cancel_futures=True)
                return None
            scanned.append(block)
            if progress is not None:
                progress(len(scanned), len(blocks))
    columns = _gather(scanned, boxes, masks)
    if masks:
        columns.rle, columns.escaped = array, any(block.has_escapes for block in scanned)
    return columns


def _split(text: memoryview, first: int, last: int) -> list[tuple[int, int]]:
    """Blocks that end where an object seems to end.

    A guess is enough: should text or a nested object look like a border, then the block before it
    is not a complete sequence of objects, and the scanner gives up.
    """
    blocks = []
    while last - first > _BLOCK:
        found = _BETWEEN.search(text, first + _BLOCK, last)
        if found is None:
            break
        blocks.append((first, found.start(1)))
        first = found.end(1)
    return [*blocks, (first, last)]


def _scan_block(
    array: np.ndarray, first: int, last: int, boxes: bool, masks: bool
) -> _Block | None:
    room = Room.allocate(last - first, boxes=boxes, masks=masks)
    rows, doubts, has_escapes = scan_results(array, first, last, *room)
    if rows < 0:
        return None
    numbers = room.numbers[:rows]
    for place, start, stop in room.doubtful[:doubts].tolist():
        numbers.flat[place] = float(array[start:stop].tobytes())
    return _Block(room.integers[:rows], numbers, bool(has_escapes))


def _gather(blocks: list[_Block], boxes: bool, masks: bool) -> ResultColumns:
    """One array per column; the memory of the blocks goes back with them."""
    rows = sum(len(block.numbers) for block in blocks)
    columns = ResultColumns(
        image_id=np.empty(rows, np.int64),
        category_id=np.empty(rows, np.int64),
        score=np.empty(rows, np.float64),
        box=np.empty((rows, 4), np.float64) if boxes else None,
    )
    if masks:
        columns.rle_offset = np.empty(rows, np.int64)
        columns.rle_length = np.empty(rows, np.int32)
        columns.rle_size = np.empty((rows, 2), np.int32)
    stop = 0
    for integers, numbers, _ in blocks:
        place = slice(stop, stop + len(numbers))
        stop = place.stop
        columns.image_id[place] = integers[:, IMAGE]
        columns.category_id[place] = integers[:, CATEGORY]
        columns.score[place] = numbers[:, 0]
        if boxes:
            columns.box[place] = numbers[:, 1:]
        if masks:
            columns.rle_offset[place] = integers[:, OFFSET]
            columns.rle_length[place] = integers[:, LENGTH]
            columns.rle_size[place] = integers[:, [HEIGHT, WIDTH]]
    return columns
