"""Annotation files of LVIS and COCO as the arrays of `GroundTruth`."""

import dataclasses
import math
import os
from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np

from plugins.annotations import AnnotationError, find_problems, naming, read_annotations
from plugins.evaluation.engine.ground_truth_masks import read_masks
from plugins.evaluation.engine.records import GroundTruth
from plugins.evaluation.engine.source_file import map_file
from plugins.evaluation.engine.train_counts import read_train_counts

_Number = int | float
_FREQUENCIES = {None: 0, 'r': ord('r'), 'c': ord('c'), 'f': ord('f')}
_LARGEST_IMAGE = 2**31
_UNDECODABLE = ('bad-box', 'no-area', 'nan-polygon', 'polygon-type')
_RENUMBER = 'tools/data/coco_to_lvis.py renumbers them'
_CONVERT = 'convert it with tools/data/coco_to_lvis.py, or use the rules of COCO'


class _Image(msgspec.Struct, gc=False):
    id: _Number
    height: _Number
    width: _Number
    neg_category_ids: list[_Number] | None = None
    not_exhaustive_category_ids: list[_Number] | None = None


class _Annotation(msgspec.Struct, gc=False):
    id: _Number
    image_id: _Number
    category_id: _Number
    area: float
    bbox: tuple[float, float, float, float]
    segmentation: msgspec.Raw = msgspec.Raw(b'null')
    ignore: _Number | bool | None = 0
    iscrowd: _Number | bool | None = 0


class _Category(msgspec.Struct):
    id: _Number
    name: str
    frequency: str | None = None


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_ground_truth(
    source: str | os.PathLike | dict,
    *,
    masks: bool = True,
    counts: str | os.PathLike | dict | None = None,
    federated: bool = False,
) -> GroundTruth:
    """Read what detections are compared with.

    Args:
        source: Annotation file in LVIS or COCO format, plain or gzip; or its top-level object.
        masks: Also rasterise polygons and decode run-length masks; boxes need none.
        counts: Training instances of each category, for the instance bins: see
            `read_train_counts`.
        federated: Insist on the lists of absent and not exhaustively annotated categories, without
            which the rules of LVIS cannot be applied. Otherwise missing ones are empty.

    Returns:
        The annotations in the order of the file, images and categories by id.

    Raises:
        AnnotationError: The file is missing, truncated, not JSON or not an annotation file; an id
            is repeated, unknown, or 0 for an annotation; a mask, box or area is unusable. The
            message names the file and the id.
    """
    file = _decode(source)
    name = 'annotations in memory' if isinstance(source, dict) else str(source)
    with naming(name):
        ground_truth = _to_ground_truth(file, name, masks=masks, federated=federated)
    if counts is None:
        return ground_truth
    ids = ground_truth.category_ids.tolist()
    train_instances = read_train_counts(counts, ids, ground_truth.names)
    return dataclasses.replace(ground_truth, train_instances=train_instances)


def _decode(source: str | os.PathLike | dict) -> _File:
    is_path = not isinstance(source, dict)
    content = map_file(source) if is_path else msgspec.json.encode(_with_text_counts(source))
    try:
        return msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cause = error
    name = source if is_path else 'annotations in memory'
    if is_path:
        # Slower, but it knows which record is at fault and what to do.
        data = read_annotations(source)
        with naming(name):
            _name_fault(data)
    raise AnnotationError(f'{name}: not a usable annotation file ({cause}); correct it')


def _name_fault(data: dict) -> None:
    """Raise an error that names the annotation which stopped the decoder, if one is found."""
    for found in find_problems(data):
        if found.code in _UNDECODABLE:
            raise AnnotationError(str(found))
    for record in data['annotations']:
        area = record['area']
        if not math.isfinite(area):
            raise AnnotationError(f'annotation {record["id"]} has area {area}; correct it')


def _with_text_counts(data: dict) -> dict:
    """The same annotations with the counts of masks as text, as in a file, where they are bytes."""
    records = data.get('annotations')
    if not isinstance(records, list):
        return data
    return {**data, 'annotations': [_with_text(record) for record in records]}


def _with_text(record: object) -> object:
    mask = record.get('segmentation') if isinstance(record, dict) else None
    if not isinstance(mask, dict) or not isinstance(mask.get('counts'), bytes):
        return record
    return {**record, 'segmentation': {**mask, 'counts': mask['counts'].decode('latin-1')}}


def _to_ground_truth(file: _File, name: str, *, masks: bool, federated: bool) -> GroundTruth:
    if not file.images or not file.categories:
        raise AnnotationError('`images` or `categories` is empty; there is nothing to evaluate')
    image_ids, image_order = _sorted_ids([image.id for image in file.images], 'image')
    category_ids, category_order = _sorted_ids([one.id for one in file.categories], 'category')
    images = [file.images[place] for place in image_order]
    categories = [file.categories[place] for place in category_order]
    height = _integers([image.height for image in images], 'image height')
    width = _integers([image.width for image in images], 'image width')
    _check_sizes(image_ids, height, width)
    height, width = height.astype(np.int32), width.astype(np.int32)
    annotations = file.annotations
    ids = _integers([a.id for a in annotations], 'annotation id')
    _check_annotation_ids(ids)
    lists = _federated_lists(images, category_ids, required=federated)
    image = _look_up([a.image_id for a in annotations], image_ids, ids, 'image')
    segmentations = [a.segmentation for a in annotations]
    empty = (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
    offset, start, end = (
        read_masks(segmentations, height[image], width[image], ids) if masks else empty
    )
    return GroundTruth(
        image_ids=image_ids,
        height=height,
        width=width,
        category_ids=category_ids,
        names=[one.name for one in categories],
        frequency=_frequencies(categories),
        train_instances=None,
        ann_id=ids,
        ann_image=image,
        ann_category=_look_up([a.category_id for a in annotations], category_ids, ids, 'category'),
        ann_area=_finite([a.area for a in annotations], ids, 'area', ()),
        ann_box=_finite([a.bbox for a in annotations], ids, 'bbox', (4,)),
        ann_ignore=np.array([bool(a.ignore) for a in annotations], bool),
        ann_crowd=np.array([bool(a.iscrowd) for a in annotations], bool),
        mask_offset=offset,
        mask_start=start,
        mask_end=end,
        **lists,
        source=name,
    )


def _integers(
    values: Sequence[_Number], what: str, annotations: np.ndarray | None = None
) -> np.ndarray:
    """Whole numbers as int64; JSON may write them with a decimal point."""
    numbers = np.array(values, np.float64)
    wrong = (numbers != np.floor(numbers)) | (np.abs(numbers) >= 2**63)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        whose = '' if annotations is None else f'annotation {annotations[k]} has '
        raise AnnotationError(f'{whose}{what} {values[k]}, which is not a whole number')
    return np.array([int(value) for value in values], np.int64)


def _sorted_ids(values: Sequence[_Number], what: str) -> tuple[np.ndarray, np.ndarray]:
    ids = _integers(values, f'{what} id')
    order = np.argsort(ids, kind='stable')
    _check_distinct(ids[order], what, 'give each its own id')
    return ids[order], order


def _check_distinct(ids: np.ndarray, what: str, remedy: str) -> None:
    """``ids`` are sorted."""
    repeated = ids[1:][ids[1:] == ids[:-1]]
    if len(repeated):
        raise AnnotationError(
            f'{what} id {repeated[0]} is used more than once ({len(np.unique(repeated)):,} such '
            f'ids); {remedy}'
        )


def _check_annotation_ids(ids: np.ndarray) -> None:
    if (ids == 0).any():
        raise AnnotationError(
            f'annotation id 0 is not allowed: reference evaluators take it for "no match"; '
            f'{_RENUMBER}'
        )
    _check_distinct(np.sort(ids), 'annotation', _RENUMBER)


def _check_sizes(ids: np.ndarray, height: np.ndarray, width: np.ndarray) -> None:
    wrong = (height < 1) | (width < 1) | (height * width.astype(np.float64) >= _LARGEST_IMAGE)
    if wrong.any():
        k = int(np.flatnonzero(wrong)[0])
        raise AnnotationError(
            f'image {ids[k]} has size {width[k]}x{height[k]}; write its true width and height'
        )


def _look_up(
    values: Sequence[_Number], known: np.ndarray, annotations: np.ndarray, what: str
) -> np.ndarray:
    """Positions of ids among the sorted known ones, int32."""
    ids = _integers(values, f'{what}_id', annotations)
    place = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    lost = np.flatnonzero(known[place] != ids)
    if len(lost):
        raise AnnotationError(
            f'annotation {annotations[lost[0]]} belongs to {what} {ids[lost[0]]}, which the file '
            f'does not list ({len(lost):,} such annotations); add it or drop them'
        )
    return place.astype(np.int32)


def _finite(values: Sequence, ids: np.ndarray, what: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float64 (G, *shape) of finite numbers."""
    numbers = np.array(values, np.float64).reshape(len(ids), *shape)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        k = int(bad[0, 0])
        raise AnnotationError(f'annotation {ids[k]} has {what} {values[k]}; correct it')
    return numbers


def _frequencies(categories: Sequence[_Category]) -> np.ndarray:
    for category in categories:
        if category.frequency not in _FREQUENCIES:
            raise AnnotationError(
                f'category {category.id} has frequency {category.frequency!r}; it must be r, c or f'
            )
    return np.array([_FREQUENCIES[category.frequency] for category in categories], np.uint8)


def _federated_lists(
    images: Sequence[_Image], category_ids: np.ndarray, *, required: bool
) -> dict[str, np.ndarray]:
    """The two lists of every image as compressed rows; ids of unknown categories say nothing."""
    lists = {}
    for key, attribute in (('neg', 'neg_category_ids'), ('ne', 'not_exhaustive_category_ids')):
        rows = [getattr(image, attribute) for image in images]
        if required and None in rows:
            raise AnnotationError(
                f'image {images[rows.index(None)].id} has no `{attribute}`: this is not a file in '
                f'LVIS format; {_CONVERT}'
            )
        rows = [row or () for row in rows]
        ids = _integers(list(chain.from_iterable(rows)), attribute)
        image = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        place = np.minimum(np.searchsorted(category_ids, ids), len(category_ids) - 1)
        known = category_ids[place] == ids
        counts = np.bincount(image[known], minlength=len(rows))
        lists[f'{key}_offset'] = np.concatenate([[0], np.cumsum(counts)])
        lists[f'{key}_category'] = place[known].astype(np.int32)
    return lists
