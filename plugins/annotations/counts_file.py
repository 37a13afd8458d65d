"""Category counts from a file: training annotations, or what stats.py wrote about them."""

import os
from typing import NamedTuple

import numpy as np

from plugins.annotations.frequency import count_categories, image_categories
from plugins.annotations.reading import AnnotationError, read_annotations, read_json


class TrainingCounts(NamedTuple):
    """Counts of a training set; rows in increasing category id.

    Attributes:
        instance_count: int64 (K,), instances; crowd regions are none.
        image_count: int64 (K,), images with the category.
        num_images: Images with at least one instance, or -1 if the file does not say.
    """

    instance_count: np.ndarray
    image_count: np.ndarray
    num_images: int


def read_counts_file(path: str | os.PathLike) -> TrainingCounts:
    """Read the counts of a training set.

    Args:
        path: An annotation file, the file of ``tools/data/stats.py ANN --json FILE``, or a list of
            ``{"id":, "instance_count":, "image_count":}``, one entry per category.

    Raises:
        AnnotationError: The file cannot be read or an entry has no such counts.
    """
    content = read_json(path)
    if isinstance(content, dict) and 'annotations' in content:
        data = read_annotations(path)
        counts = count_categories(data)
        filled = np.diff(image_categories(data).pointer) > 0
        return TrainingCounts(counts.instance_count, counts.image_count, int(filled.sum()))
    entries = content.get('categories') if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise AnnotationError(
            f'{path}: not a file of category counts; give the training annotations or what '
            'tools/data/stats.py ANNOTATIONS --json FILE writes'
        )
    if len({entry['id'] for entry in entries}) < len(entries):
        raise AnnotationError(f'{path}: two entries have the same category id; give each one')
    entries = sorted(entries, key=lambda entry: entry['id'])
    columns = [
        np.array([entry[name] for entry in entries], np.int64)
        for name in ('instance_count', 'image_count')
    ]
    return TrainingCounts(*columns, _num_images(content))


def _is_entry(entry: object) -> bool:
    names = ('id', 'instance_count', 'image_count')
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name), int) and entry[name] >= 0 for name in names
    )


def _num_images(content: dict | list) -> int:
    totals = content.get('totals') if isinstance(content, dict) else None
    if not isinstance(totals, dict):
        return -1
    images, empty = totals.get('images'), totals.get('images_without_annotations')
    return images - empty if isinstance(images, int) and isinstance(empty, int) else -1
