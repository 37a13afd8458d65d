"""How many training instances each category has, from whatever file says it."""

import os
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from plugins.annotations import AnnotationError
from plugins.evaluation.engine.source_file import map_file

_SHOWN = 3


class _Annotation(msgspec.Struct, gc=False):
    category_id: int
    iscrowd: int | bool | None = 0


class _Category(msgspec.Struct):
    id: int | None = None
    name: str | None = None
    instance_count: int | None = None


class _File(msgspec.Struct):
    annotations: list[_Annotation] | None = None
    categories: list[_Category] | None = None
    instance_count: dict[int, int] | None = None


def read_train_counts(
    source: str | os.PathLike | dict, category_ids: Sequence[int], names: Sequence[str]
) -> np.ndarray:
    """Training instances of each category.

    Args:
        source: A file, or its content, in one of these forms: the training annotations (their
            instances are counted, crowd regions are none); ``{"categories": [{"id": or "name":,
            "instance_count":}, ...]}``; ``{"instance_count": {"<id>": n}}``; ``{"<id>": n}``.
        category_ids: K ids to look up.
        names: Their names, for files that give no ids.

    Returns:
        int64 (K,).

    Raises:
        AnnotationError: The file cannot be read, is none of these, or says nothing about a
            category.
    """
    name = 'counts in memory' if isinstance(source, dict) else str(source)
    content = msgspec.json.encode(source) if isinstance(source, dict) else map_file(source)
    counts = _decode(content, name)
    missing = [
        f'{category_id} ({label})'
        for category_id, label in zip(category_ids, names, strict=True)
        if category_id not in counts and label not in counts
    ]
    if missing:
        more = f' and {len(missing) - _SHOWN:,} more' if len(missing) > _SHOWN else ''
        raise AnnotationError(
            f'{name}: no count for category {", ".join(missing[:_SHOWN])}{more}; give the counts '
            'of the data set that is evaluated'
        )
    found = (
        counts.get(category_id, counts.get(label))
        for category_id, label in zip(category_ids, names, strict=True)
    )
    return np.fromiter(found, np.int64, len(category_ids))


def _decode(content: bytes | memoryview, name: str) -> dict[int | str, int]:
    """Counts by category id, or by name where the file gives no id."""
    try:
        file = msgspec.json.decode(content, type=_File)
        if file.annotations is not None and file.categories is not None:
            counted = Counter(a.category_id for a in file.annotations if not a.iscrowd)
            return {c.id: counted[c.id] for c in file.categories}
        if file.categories is not None:
            counts = {
                c.name if c.id is None else c.id: c.instance_count
                for c in file.categories
                if c.instance_count is not None
            }
        elif file.instance_count is not None:
            counts = file.instance_count
        else:
            counts = msgspec.json.decode(content, type=dict[int, int])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(
            f'{name}: not a file of training counts ({error}); give the training annotations or '
            '{"<category id>": instances, ...}'
        ) from None
    if any(count < 0 for count in counts.values()):
        raise AnnotationError(f'{name}: a count is negative; correct it')
    return counts
