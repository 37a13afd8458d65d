"""Which categories of an annotation file a data set has, and under which labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from plugins.annotations import AnnotationError
from plugins.annotations.cache import AnnotationStore


class CategoryChoice(NamedTuple):
    """Categories of a data set; labels follow the order of ids, as in mmdet.

    Attributes:
        classes: Names, by label.
        cat_ids: Category ids, by label.
        cat2label: Label of each category id.
        labels: int64 (K,), label of every category of the file by increasing id, -1 for those that
            are left out; None where that is 0, 1, 2, ...
    """

    classes: tuple[str, ...]
    cat_ids: list[int]
    cat2label: dict[int, int]
    labels: np.ndarray | None


def choose_categories(
    store: AnnotationStore, ann_file: str, classes: Sequence[str] | None, *, keep_others: bool
) -> CategoryChoice:
    """Settle the categories of a data set.

    Args:
        store: Annotations of the file.
        ann_file: Its name, for messages.
        classes: Names of the wanted categories, in any order; None for all.
        keep_others: Leave annotations of other categories out; otherwise they are an error.

    Raises:
        AnnotationError: A class is not in the file, or an annotation has another category.
    """
    ids, names = store.category_ids.tolist(), store.names
    if classes is not None:
        _check_known(classes, names, ann_file)
    chosen = set(names if classes is None else classes)
    cat_ids = [i for i, name in zip(ids, names, strict=True) if name in chosen]
    cat2label = {category_id: label for label, category_id in enumerate(cat_ids)}
    choice = CategoryChoice(
        tuple(name for name in names if name in chosen),
        cat_ids,
        cat2label,
        None if len(cat2label) == len(ids) else np.array([cat2label.get(i, -1) for i in ids]),
    )
    if not keep_others:
        _refuse_others(store, choice, ann_file)
    return choice


def _check_known(classes: Sequence[str], names: list[str], ann_file: str) -> None:
    known = set(names)
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise AnnotationError(
            f'{ann_file} has no category {unknown[0]!r}, which the config names in '
            f'metainfo.classes ({len(unknown)} such); its categories start with {names[:5]}'
        )


def _refuse_others(store: AnnotationStore, choice: CategoryChoice, ann_file: str) -> None:
    is_other = np.ones(len(store.category_count), bool)  # the last are unknown ids
    is_other[:-1] = False if choice.labels is None else choice.labels < 0
    others = np.flatnonzero(is_other & (store.category_count > 0))
    if len(others):
        first = others[store.category_first_row[others].argmin()]
        raise AnnotationError(
            f'{ann_file}: annotation {store.category_first_annotation[first]} has category id '
            f'{store.category_first_id[first]}, which is not in the classes of the config '
            f'({store.category_count[others].sum()} such annotations); add the class or set '
            'keep_other_categories=True'
        )
