"""The numbers of an annotation file as arrays, one row per annotation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Columns:
    """Ids, references and boxes of all annotations of a file.

    Attributes:
        image_ids: int64 (I,), ids in the file's order.
        category_ids: int64 (K,), ids in the file's order.
        widths: int64 (I,), pixels.
        heights: int64 (I,), pixels.
        annotation_ids: int64 (N,).
        image: int64 (N,), position in `image_ids`, -1 for an image the file does not list.
        category: int64 (N,), position in `category_ids`, -1 for an unknown category.
        boxes_xywh: float64 (N, 4), pixels; a row of NaN where the box is not four numbers.
        is_crowd: bool (N,).
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    widths: np.ndarray
    heights: np.ndarray
    annotation_ids: np.ndarray
    image: np.ndarray
    category: np.ndarray
    boxes_xywh: np.ndarray
    is_crowd: np.ndarray


def to_columns(data: dict) -> Columns:
    """Gather the columns of a file that `read_annotations` accepted.

    Args:
        data: Top-level object of the annotation file.

    Returns:
        The columns; rows follow the file's order.
    """
    images, annotations = data['images'], data['annotations']
    image_ids = _integers(images, 'id')
    category_ids = _integers(data['categories'], 'id')
    crowd = (bool(record.get('iscrowd')) for record in annotations)
    return Columns(
        image_ids=image_ids,
        category_ids=category_ids,
        widths=_integers(images, 'width'),
        heights=_integers(images, 'height'),
        annotation_ids=_integers(annotations, 'id'),
        image=positions(_integers(annotations, 'image_id'), image_ids),
        category=positions(_integers(annotations, 'category_id'), category_ids),
        boxes_xywh=box_table([record.get('bbox') for record in annotations]),
        is_crowd=np.fromiter(crowd, bool, len(annotations)),
    )


def positions(wanted: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """First position of every wanted id.

    Args:
        wanted: int64 (N,), ids to look up.
        ids: int64 (M,), in any order, duplicates allowed.

    Returns:
        int64 (N,), position in `ids`, -1 where the id does not occur.
    """
    if len(ids) == 0:
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(ids, kind='stable')
    ordered = ids[order]
    found = np.minimum(np.searchsorted(ordered, wanted), len(ids) - 1)
    return np.where(ordered[found] == wanted, order[found], -1)


def _integers(records: list[dict], key: str) -> np.ndarray:
    return np.fromiter((record[key] for record in records), np.int64, len(records))


def box_table(boxes: list) -> np.ndarray:
    """Boxes as they stand in records.

    Args:
        boxes: N values of ``bbox``, of any type.

    Returns:
        float64 (N, 4), as given; a row of NaN where the value is not a list of four numbers.
    """
    if not boxes:
        return np.zeros((0, 4))
    try:
        table = np.array(boxes)
    except (ValueError, OverflowError):
        table = None
    # Text that looks like numbers would be converted in silence: the type is looked at first.
    if table is not None and table.dtype.kind in 'iuf' and table.shape == (len(boxes), 4):
        return table.astype(np.float64, copy=False)
    return np.array([_box_or_nan(box) for box in boxes])


def _box_or_nan(box: object) -> list[float]:
    if isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) for v in box):
        return [float(v) if abs(v) < 1e300 else np.nan for v in box]
    return [np.nan] * 4
