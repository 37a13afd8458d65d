"""Detections from a result file, or from a list like the one in such a file."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from plugins.evaluation.engine.records import GroundTruth, Results, ResultsError
from plugins.evaluation.engine.result_columns import ResultColumns, join_columns
from plugins.evaluation.engine.result_entries import gather_entries
from plugins.evaluation.engine.scan_blocks import scan_file
from plugins.evaluation.engine.source_file import map_file

_SCAN_FROM = 1 << 22  # bytes; below, the general parser is done before the scanner is loaded
_ENTRIES = 20_000  # results that the general parser turns into objects at a time
_LONGEST_RESULT = 1 << 22  # bytes of the first result, which is looked at to see what there is
_NO_NUMBER = re.compile(rb'(?<=[\s:,\[])(NaN|-?Infinity)(?=[\s,\]}])')
_SHOWN = 5
_LARGEST_TABLE = 1 << 20  # entries

Progress = Callable[[int, int], None]


def read_results(
    source: str | os.PathLike | Sequence[Mapping],
    ground_truth: GroundTruth,
    *,
    iou_type: str | Sequence[str] = 'segm',
    area_from_box: bool = False,
    category_map: Mapping[int, int] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Results:
    """Read detections and find their images and categories among the annotations.

    Masks may be compressed or plain run-length codes or polygons. Boxes are filled where masks are
    wanted and the result has none. Where boxes are wanted and the first result has none, none are
    read, and those of the masks are to be compared.

    Args:
        source: A file, plain or gzip, that holds a JSON list of ``{"image_id", "category_id",
            "score", "segmentation" and/or "bbox"}``; or such a list.
        ground_truth: What they will be compared with.
        iou_type: ``'segm'``, ``'boundary'``, ``'bbox'`` or several; decides what is read.
        area_from_box: Sizes are those of the boxes even where masks are compared.
        category_map: From the category ids of the results to those of the annotations.
        threads: Parts of the file read at a time; None for one per processor.
        progress: Called with the parts read and all parts.

    Returns:
        The detections in the order of the file; results of unknown categories stay in, with
        category -1, and are reported in `Results.warnings`.

    Raises:
        ResultsError: The file is missing, truncated or not a list of results; a result lacks a
            key, is for an unknown image, has a score or box that is not a finite number, or a
            mask of another size than its image. The message names the file and the result,
            counted from 0.
    """
    types = {iou_type} if isinstance(iou_type, str) else set(iou_type)
    boxes, masks = 'bbox' in types or area_from_box, bool(types & {'segm', 'boundary'})
    shapes = zip(ground_truth.height.tolist(), ground_truth.width.tolist(), strict=True)
    sizes = dict(zip(ground_truth.image_ids.tolist(), shapes, strict=True))
    if isinstance(source, str | os.PathLike):
        name = str(source)
        columns = _read_file(name, sizes, boxes, masks, threads, progress)
    else:
        name = 'results in memory'
        wants = _available(source[0] if len(source) else None, boxes, masks)
        columns = gather_entries(source, sizes, **wants, source=name)
    if area_from_box and columns.box is None:
        raise ResultsError(f'{name}: the first result has no `bbox` to take the sizes from')
    return _checked(columns, ground_truth, name, category_map, area_from_box)


def _available(first: object, boxes: bool, masks: bool) -> dict[str, bool]:
    """What to read, given the first result: in a file without boxes, those of the masks serve."""
    if boxes and isinstance(first, Mapping) and 'bbox' not in first and 'segmentation' in first:
        boxes, masks = False, True
    return dict(boxes=boxes, masks=masks)


def _read_file(
    name: str,
    sizes: Mapping[int, tuple[int, int]],
    boxes: bool,
    masks: bool,
    threads: int | None,
    progress: Progress | None,
) -> ResultColumns:
    text = map_file(name, ResultsError)
    first, last = _list_extent(text, name)
    wants = _available(_first_result(text, first, last), boxes, masks)
    if last - first >= _SCAN_FROM:
        columns = scan_file(text, first, last, **wants, threads=threads, progress=progress)
        if columns is not None:
            return columns
    return _parse_file(text, name, sizes, wants, progress)


def _list_extent(text: memoryview, name: str) -> tuple[int, int]:
    """Position of the first result and that after the last; equal ones for an empty list."""
    first, last = _next_token(text, 0), _last_token(text, len(text))
    if text[first : first + 1] != b'[':
        if text[first : first + 1] == b'{':
            raise ResultsError(
                f'{name}: the top level is an object, not a list of results; is it the annotation '
                'file?'
            )
        raise ResultsError(f'{name}: not a JSON file; results are a JSON list')
    if text[last - 1 : last] != b']':
        raise ResultsError(
            f'{name}: the JSON text breaks off at byte {len(text)}; the file is truncated, copy or '
            'write it again'
        )
    first, last = _next_token(text, first + 1), _last_token(text, last - 1)
    return min(first, last), last


def _next_token(text: memoryview, position: int) -> int:
    while position < len(text) and text[position] in b' \t\r\n':
        position += 1
    return position


def _last_token(text: memoryview, position: int) -> int:
    while position > 0 and text[position - 1] in b' \t\r\n':
        position -= 1
    return position


def _first_result(text: memoryview, first: int, last: int) -> object:
    """The first result, or None if it cannot be read by itself."""
    beginning = bytes(text[first : min(last, first + _LONGEST_RESULT)])
    try:
        return json.JSONDecoder().raw_decode(beginning.decode('utf-8', 'replace'))[0]
    except (ValueError, RecursionError):
        return None


def _parse_file(
    text: memoryview,
    name: str,
    sizes: Mapping[int, tuple[int, int]],
    wants: Mapping[str, bool],
    progress: Progress | None,
) -> ResultColumns:
    """Read a list of any legal form; only a part of it is turned into objects at a time."""
    records = _split_list(text, name)
    parts, buffers, used = [], [], 0
    for start in range(0, max(1, len(records)), _ENTRIES):
        content = b'[' + b','.join(records[start : start + _ENTRIES]) + b']'
        part = gather_entries(_decode(content), sizes, **wants, source=name, first_index=start)
        if part.rle is not None:
            part.rle_offset += used
            used += len(part.rle)
            buffers.append(part.rle)
        parts.append(part)
        if progress is not None:
            progress(min(start + _ENTRIES, len(records)), len(records))
    columns = join_columns(parts)
    if buffers:
        columns.rle = np.concatenate(buffers)
    return columns


def _decode(content: bytes) -> list:
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return json.loads(content)  # takes numbers beyond the range of floats as infinite


def _split_list(text: memoryview | bytes, name: str) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(text, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        cause = error
    # Python writes NaN although JSON has none: as text it gets to where the result can be named.
    plain = bytes(text)
    quoted = _NO_NUMBER.sub(rb'"\1"', plain)
    if quoted != plain:
        return _split_list(quoted, name)
    raise ResultsError(f'{name}: not a JSON file ({cause}); write the results again')


def _checked(
    columns: ResultColumns,
    ground_truth: GroundTruth,
    name: str,
    category_map: Mapping[int, int] | None,
    area_from_box: bool,
) -> Results:
    image = _look_up_images(columns, ground_truth, name)
    category, warnings = _look_up_categories(columns, ground_truth, name, category_map)
    results = Results(
        image=image,
        category=category,
        score=columns.score,
        box=columns.box,
        rle=columns.rle,
        rle_offset=columns.rle_offset,
        rle_length=columns.rle_length,
        rle_height=None if columns.rle_size is None else columns.rle_size[:, 0].copy(),
        rle_width=None if columns.rle_size is None else columns.rle_size[:, 1].copy(),
        escaped=columns.escaped,
        source=name,
        warnings=warnings,
        area_from_box=area_from_box,
    )
    results.require_finite()
    if results.rle is not None:
        _check_sizes(results, columns, ground_truth)
    return results


def _look_up_images(columns: ResultColumns, ground_truth: GroundTruth, name: str) -> np.ndarray:
    image = _positions(columns.image_id, ground_truth.image_ids)
    lost = np.flatnonzero(image < 0)
    if len(lost):
        raise ResultsError(
            f'{name}: result {lost[0]} is for image {columns.image_id[lost[0]]}, which '
            f'{ground_truth.source} does not list ({len(lost):,} of {len(image):,} results); are '
            'these results of another data set?'
        )
    return image


def _look_up_categories(
    columns: ResultColumns,
    ground_truth: GroundTruth,
    name: str,
    category_map: Mapping[int, int] | None,
) -> tuple[np.ndarray, list[str]]:
    if category_map is None:
        category = _positions(columns.category_id, ground_truth.category_ids)
    else:
        own = np.array(sorted(category_map), np.int64)
        theirs = np.array([category_map[key] for key in own.tolist()], np.int64)
        place = _positions(columns.category_id, own)
        # The appended -1 is what a place of -1 finds.
        category = np.append(_positions(theirs, ground_truth.category_ids), np.int32(-1))[place]
    lost = columns.category_id[category < 0]
    if not len(lost):
        return category, []
    ids = np.unique(lost)
    shown = ', '.join(map(str, ids[:_SHOWN])) + (', ...' if len(ids) > _SHOWN else '')
    found = (
        f'{len(lost):,} of {len(category):,} results have a category id that '
        f'{ground_truth.source} does not list ({shown})'
    )
    if len(lost) == len(category):
        raise ResultsError(f'{name}: {found}; are these results of another data set?')
    return category, [f'{name}: {found}; they count towards the cap per image only']


def _positions(wanted: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Place of every wanted id among the sorted ones, int32, -1 where it is missing."""
    if not len(ids) or not len(wanted):
        return np.full(len(wanted), -1, np.int32)
    lowest, span = ids[0], int(ids[-1]) - int(ids[0]) + 1
    if span <= _LARGEST_TABLE and len(wanted) > len(ids):
        # Behind the table's last id stands what is outside of it.
        table = np.full(span + 1, -1, np.int32)
        table[ids - lowest] = np.arange(len(ids), dtype=np.int32)
        return table[np.where((wanted < lowest) | (wanted > ids[-1]), span, wanted - lowest)]
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[place] == wanted, place, -1).astype(np.int32)


def _check_sizes(results: Results, columns: ResultColumns, ground_truth: GroundTruth) -> None:
    height, width = ground_truth.height[results.image], ground_truth.width[results.image]
    wrong = np.flatnonzero((results.rle_height != height) | (results.rle_width != width))
    if len(wrong):
        k = wrong[0]
        raise ResultsError(
            f'{results.source}: result {k} (image {columns.image_id[k]}, category '
            f'{columns.category_id[k]}) has a mask of size [{results.rle_height[k]}, '
            f'{results.rle_width[k]}] for an image of [{height[k]}, {width[k]}] ({len(wrong):,} '
            'such results); write masks in the size of the original image'
        )
