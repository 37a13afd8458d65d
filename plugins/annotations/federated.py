"""Faults of what LVIS adds to COCO's format: federated lists and frequency groups."""

from collections.abc import Iterable
from itertools import chain

import numpy as np

from plugins.annotations.columns import Columns, positions
from plugins.annotations.problems import SHOWN, Problem, problem

FEDERATED_KEYS = ('neg_category_ids', 'not_exhaustive_category_ids')


def federated_problems(data: dict, columns: Columns) -> Iterable[Problem | None]:
    """Faults of `neg_category_ids` and `not_exhaustive_category_ids`; none without such lists.

    Args:
        data: Top-level object of the file.
        columns: Its columns.

    Yields:
        One problem, or None, per class.
    """
    images = data['images']
    listed = [record for record in images if any(key in record for key in FEDERATED_KEYS)]
    if not listed:
        return
    lists = {}
    for key in FEDERATED_KEYS:
        broken = [f'image {record["id"]}' for record in images if not _is_id_list(record.get(key))]
        yield problem(
            f'bad-{key.replace("_", "-")}',
            broken,
            'image',
            f'without a list of category ids in `{key}`',
            remedy='an LVIS file needs it for every image',
        )
        if broken:
            return
        lists[key] = _flatten(images, key, columns)
    for key, (image, category) in lists.items():
        lost = np.unique(image[category < 0])
        first = [f'image {columns.image_ids[k]}' for k in lost[:SHOWN]]
        yield problem(
            f'unknown-{key.replace("_", "-")}',
            first,
            'image',
            f'with ids in `{key}` that `categories` does not list',
            count=len(lost),
            remedy='was the file filtered? add the categories or run tools/data/coco_to_lvis.py',
        )
    yield _present_but_negative(columns, *lists['neg_category_ids'])


def _is_id_list(ids: object) -> bool:
    if type(ids) is not list or not set(map(type, ids)) <= {int}:
        return False
    return not ids or (min(ids) >= -(2**63) and max(ids) < 2**63)


def _flatten(images: list[dict], key: str, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.fromiter((len(record[key]) for record in images), np.int64, len(images))
    ids = chain.from_iterable(record[key] for record in images)
    flat = np.fromiter(ids, np.int64, int(lengths.sum()))
    return np.repeat(np.arange(len(images)), lengths), positions(flat, columns.category_ids)


def _present_but_negative(
    columns: Columns, image: np.ndarray, category: np.ndarray
) -> Problem | None:
    num_categories = len(columns.category_ids)
    valid = (columns.image >= 0) & (columns.category >= 0)
    present = np.unique(columns.image[valid] * num_categories + columns.category[valid])
    negative = (image * num_categories + category)[category >= 0]
    both = np.intersect1d(present, negative)
    first = [
        f'category {columns.category_ids[pair % num_categories]} in image '
        f'{columns.image_ids[pair // num_categories]}'
        for pair in both[:SHOWN]
    ]
    return problem(
        'present-and-negative',
        first,
        'image and category pair',
        'annotated although `neg_category_ids` says the category is absent',
        count=len(both),
        remedy='tools/data/coco_to_lvis.py corrects the lists',
    )


def frequency_problem(categories: list[dict]) -> Problem | None:
    """Categories of an unknown frequency group, on which lvis-api fails.

    Args:
        categories: Category records of the file.
    """
    return problem(
        'frequency',
        [
            f'category {record["id"]} ({record["frequency"]!r})'
            for record in categories
            if 'frequency' in record and record['frequency'] not in ('r', 'c', 'f')
        ],
        'category',
        'with a `frequency` other than r, c or f',
        remedy='run tools/data/coco_to_lvis.py to compute it',
    )
