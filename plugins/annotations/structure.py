"""What a training run checks in an annotation file before it starts.

Every check works on all records at once and yields at most one `Problem` per class, so that a file
with a million bad boxes gives one line and not a million.
"""

import os
from collections.abc import Collection, Iterable

import numpy as np

from plugins.annotations.boxes import area_problems, box_mask_problem, box_problems
from plugins.annotations.columns import Columns, to_columns
from plugins.annotations.federated import federated_problems, frequency_problem
from plugins.annotations.images import image_name
from plugins.annotations.problems import SHOWN, Problem, problem
from plugins.annotations.reading import AnnotationError
from plugins.annotations.segmentations import segmentation_problems


def verify_annotations(
    data: dict, path: str | os.PathLike, allow: Collection[str] = ()
) -> list[Problem]:
    """Stop a run whose annotation file would make it fail or learn wrong things.

    Args:
        data: Top-level object from `read_annotations`.
        path: The file it came from, for the message.
        allow: Codes of fatal problems that this run accepts, such as ``box-partly-outside`` for a
            published file that is used as it is.

    Returns:
        The problems that do not stop the run, for the log.

    Raises:
        AnnotationError: One line per class of fatal problem, each naming the first records, how
            many more there are and what to do.
    """
    found = find_problems(data)
    refuse_fatal(found, path, allow)
    return found


def refuse_fatal(
    found: Iterable[Problem], path: str | os.PathLike, allow: Collection[str] = ()
) -> None:
    """Raise one `AnnotationError` with a line for each fatal problem that is not allowed.

    Args:
        found: Problems of the file.
        path: The file, for the message.
        allow: Codes of fatal problems that this run accepts.
    """
    fatal = [one for one in found if one.fatal and one.code not in allow]
    if fatal:
        raise AnnotationError('\n'.join(f'{path}: {one}' for one in fatal))


def find_problems(data: dict, *, thorough: bool = False) -> list[Problem]:
    """All classes of problem in the structure of an annotation file.

    Args:
        data: Top-level object from `read_annotations`.
        thorough: Also compare every box with its polygons (not fatal; takes as long again).

    Returns:
        At most one problem per class; empty for a clean file.
    """
    columns = to_columns(data)
    found = gather_problems(data, columns, data['annotations'], columns)
    if thorough:
        found.append(box_mask_problem(data['annotations'], columns))
    return [one for one in found if one is not None]


def gather_problems(
    data: dict, columns: Columns, suspects: list[dict], suspect_columns: Columns
) -> list[Problem]:
    """Problems of a file of which only some annotations are at hand as records.

    Args:
        data: Its images and categories.
        columns: Of all annotations.
        suspects: At least those annotations, in the file's order, that have a fault of their own.
        suspect_columns: Of the suspects.

    Returns:
        What `find_problems` returns for the whole file.
    """
    found = [
        *_duplicates(data, columns),
        *_references(suspects, suspect_columns),
        *_file_names(data['images']),
        *box_problems(suspects, suspect_columns),
        *area_problems(suspects),
        *segmentation_problems(suspects, suspect_columns),
        *federated_problems(data, columns),
        frequency_problem(data['categories']),
    ]
    return [one for one in found if one is not None]


def _duplicates(data: dict, columns: Columns) -> Iterable[Problem | None]:
    for kind, ids, remedy in (
        ('image', columns.image_ids, 'give every image its own id'),
        ('category', columns.category_ids, 'give every category its own id'),
        ('annotation', columns.annotation_ids, 'tools/data/coco_to_lvis.py renumbers them'),
    ):
        values, counts = np.unique(ids, return_counts=True)
        repeated = values[counts > 1]
        first = [f'{kind} id {value}' for value in repeated[:SHOWN]]
        yield problem(
            f'duplicate-{kind}-id',
            first,
            f'{kind} id',
            'used more than once',
            count=len(repeated),
            remedy=remedy,
        )
    names: dict[str, int] = {}
    for record in data['categories']:
        names[record['name']] = names.get(record['name'], 0) + 1
    yield problem(
        'duplicate-category-name',
        [repr(name) for name, count in names.items() if count > 1],
        'category name',
        'used more than once',
        remedy='rename or merge the categories',
    )


def _references(annotations: list[dict], columns: Columns) -> Iterable[Problem | None]:
    for kind, found in (('image', columns.image), ('category', columns.category)):
        lost = np.flatnonzero(found < 0)
        first = [
            f'annotation {annotations[k]["id"]} ({kind} {annotations[k][f"{kind}_id"]})'
            + (f' of image {annotations[k]["image_id"]}' if kind == 'category' else '')
            for k in lost[:SHOWN]
        ]
        section = 'images' if kind == 'image' else 'categories'
        yield problem(
            f'unknown-{kind}',
            first,
            'annotation',
            f'of {kind} ids that `{section}` does not list',
            count=len(lost),
            remedy=f'add the missing {section} or let tools/data/coco_to_lvis.py drop them',
        )


def _file_names(images: list[dict]) -> Iterable[Problem | None]:
    nameless, unsafe = [], []
    for record in images:
        try:
            if image_name(record) is None:
                nameless.append(f'image {record["id"]}')
        except AnnotationError:
            name = record.get('file_name') or record.get('coco_url')
            unsafe.append(f'image {record["id"]} ({name!r})')
    yield problem(
        'no-file-name',
        nameless,
        'image',
        'without `file_name` or `coco_url`',
        remedy='add the names or let tools/data/coco_to_lvis.py drop the images',
    )
    yield problem(
        'unsafe-file-name',
        unsafe,
        'image',
        'whose file name is absolute or leaves the image folder',
        remedy='write names relative to the image folder',
    )
