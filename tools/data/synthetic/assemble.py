"""One LVIS v1 annotation file out of the parts of a split, in constant memory."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from .catalog import category_record
from .options import SyntheticDataError, SyntheticOptions
from .parts import (
    compact_json,
    read_annotations,
    read_header,
    read_images,
    write_atomically,
)
from .statistics import frequency_group, frequency_limits

LICENSES = [
    {
        'id': 1,
        'name': 'CC0 1.0 Universal',
        'url': 'https://creativecommons.org/publicdomain/zero/1.0/',
    }
]


def assemble_split(
    path: Path,
    parts: list[Path],
    options: SyntheticOptions,
    *,
    train_image_count: Counter[int] | None,
    first_annotation_id: int,
) -> tuple[Counter[int], int]:
    """Write the annotation file of a split.

    Args:
        path: the file.
        parts: finished parts in the order of their images.
        options: options of the data set.
        train_image_count: images per category id of the train split, which decide the frequency
            groups; None when this is the train split.
        first_annotation_id: id of the first annotation.

    Returns:
        Images per category id of this split, and the first annotation id that is still free.

    Raises:
        SyntheticDataError: a category has no annotation.
    """
    headers = [read_header(part) for part in parts]
    image_count = sum((header.image_count for header in headers), Counter())
    instance_count = sum((header.instance_count for header in headers), Counter())
    _check_coverage(path, instance_count, options)
    limits = options.frequency_limits or frequency_limits(options.train_images)
    deciding = image_count if train_image_count is None else train_image_count
    categories = [
        category_record(index)
        | {
            'frequency': frequency_group(deciding[index], limits),
            'image_count': image_count[index],
            'instance_count': instance_count[index],
        }
        for index in range(1, options.categories + 1)
    ]
    lines = _lines(parts, _info(options, limits), categories, first_annotation_id)
    write_atomically(path, lines)
    return image_count, first_annotation_id + sum(header.annotations for header in headers)


def _lines(
    parts: list[Path], info: dict, categories: list[dict], first_annotation_id: int
) -> Iterator[str]:
    yield f'{{"info":{compact_json(info)},\n"licenses":{compact_json(LICENSES)},\n"categories":[\n'
    yield from _joined(compact_json(record) for record in categories)
    yield '],\n"images":[\n'
    yield from _joined(line for part in parts for line in read_images(part))
    yield '],\n"annotations":[\n'
    bare = (line for part in parts for line in read_annotations(part))
    yield from _joined(
        f'{{"id":{index},{line[1:]}' for index, line in enumerate(bare, first_annotation_id)
    )
    yield ']}\n'


def _joined(records: Iterator[str]) -> Iterator[str]:
    separator = ''
    for record in records:
        yield separator + record
        separator = ',\n'
    yield '\n'


def _info(options: SyntheticOptions, limits: tuple[int, int]) -> dict:
    # Nothing here may depend on the day or the machine: equal options give equal files.
    return {
        'description': 'Synthetic long-tailed instance segmentation data in LVIS v1 format',
        'version': '1.0',
        'year': 2017,
        'contributor': 'mmtail',
        'date_created': '2017-01-01',
        'frequency_limits': {
            'rare_at_most_images': limits[0],
            'common_at_most_images': limits[1],
            'of_train_images': options.train_images,
        },
        'generator': options.parameters(),
    }


def _check_coverage(path: Path, instance_count: Counter[int], options: SyntheticOptions) -> None:
    missing = [i for i in range(1, options.categories + 1) if not instance_count[i]]
    if missing:
        raise SyntheticDataError(
            f'{path.name}: {len(missing)} categories got no annotation (first id {missing[0]}); '
            'take more images, larger images or another seed'
        )
