"""From COCO format to LVIS format, with every repair reported.

COCO annotates exhaustively: a category that is not annotated in an image is not there. Written as
LVIS' federated lists this makes every absent category a *verified negative*, and then the LVIS
protocol scores every detection, as COCO's does.

Crowd regions are the exception. LVIS has no crowds, and a crowd is no instance to learn from, so
they move from ``annotations`` to ``crowd_annotations``, where an evaluator that knows the COCO
protocol still finds them. Under the LVIS rules their category becomes *not exhaustively annotated*
in that image and no negative: a detection there that matches no annotation is ignored, on the
crowd (right) and beside it (lenient, where COCO would count it as false). The same holds for a
category of which an annotation had to be dropped: its object is in the picture all the same.
"""

from collections import defaultdict
from collections.abc import Iterable

from plugins.annotations.frequency import (
    COMMON_MAX,
    RARE_MAX,
    count_categories,
    frequency_group,
)
from plugins.annotations.images import image_name
from plugins.annotations.problems import Problem, describe
from plugins.annotations.reading import AnnotationError
from plugins.annotations.repairs import repair_annotation
from plugins.annotations.report import Report
from plugins.annotations.rle import rle_fault

COUNT_KEYS = ('image_count', 'instance_count')


def convert_to_lvis(
    data: dict,
    *,
    frequency_from: dict | None = None,
    rare_max: int = RARE_MAX,
    common_max: int = COMMON_MAX,
) -> tuple[dict, list[Problem]]:
    """Convert a COCO-format file to LVIS format, or repair a file already in LVIS format.

    Ids of images and categories, their order and all further keys are kept. A source whose images
    have `neg_category_ids` is federated already: its lists are kept and only corrected.

    Args:
        data: Top-level object from `read_annotations`; it is not changed.
        frequency_from: Training file of a validation file, whose category counts and frequency
            groups are then written; None counts this file's own annotations.
        rare_max: Most training images of a rare category.
        common_max: Most training images of a common category.

    Returns:
        The converted file, and what was changed, one `Problem` per class of change.

    Raises:
        AnnotationError: The categories or image ids are ambiguous, an image name leaves the image
            folder, no image is left, or the training file has other categories.
    """
    report = Report()
    _check_categories(data['categories'])
    images = _usable_images(data['images'], report)
    annotations, crowds, incomplete = _usable_annotations(data, images, report)
    _renumber([*annotations, *crowds], report)
    converted = {
        **data,
        'images': _federated(data, images, annotations, incomplete, report),
        'annotations': annotations,
        'crowd_annotations': [*data.get('crowd_annotations', []), *crowds],
    }
    counted = converted if frequency_from is None else _counted(frequency_from)
    converted['categories'] = [
        {
            **record,
            **counts,
            'frequency': frequency_group(counts['image_count'], rare_max, common_max),
            'synset': record.get('synset') or record['name'],
        }
        for record, counts in zip(
            data['categories'], _counts_for(data['categories'], counted), strict=True
        )
    ]
    return converted, report.problems()


def _check_categories(categories: list[dict]) -> None:
    for key in ('id', 'name'):
        seen = set()
        for record in categories:
            if record[key] in seen:
                raise AnnotationError(
                    f'category {key} {record[key]!r} occurs twice; merge or rename the categories'
                )
            seen.add(record[key])


def _usable_images(images: list[dict], report: Report) -> dict[int, dict]:
    usable: dict[int, dict] = {}
    for record in images:
        record = {key: value for key, value in record.items() if value is not None}
        place = f'image {record["id"]}'
        if image_name(record) is None:
            report.add('nameless-image', place)
        elif record['id'] not in usable:
            usable[record['id']] = record
        elif usable[record['id']] == record:
            report.add('repeated-image', place)
        else:
            raise AnnotationError(
                f'image id {record["id"]} is used for two images '
                f'({image_name(usable[record["id"]])}, {image_name(record)}); give each its own id'
            )
    if not usable:
        raise AnnotationError('no image has a `file_name` or `coco_url`; add the names')
    return usable


def _usable_annotations(
    data: dict, images: dict[int, dict], report: Report
) -> tuple[list[dict], list[dict], dict[int, set[int]]]:
    """Instances, crowd regions and per image the categories that lost an annotation."""
    category_ids = {record['id'] for record in data['categories']}
    instances, crowds = [], []
    incomplete: dict[int, set[int]] = defaultdict(set)
    for record in data['annotations']:
        place = describe(record)
        image = images.get(record['image_id'])
        if image is None or record['category_id'] not in category_ids:
            report.add('unknown-image' if image is None else 'unknown-category', place)
            continue
        size = image['width'], image['height']
        if record.get('iscrowd'):
            kept = _crowd(record, *size, report, place)
            crowds += kept
        else:
            repaired = repair_annotation(record, *size, lambda code, p=place: report.add(code, p))
            kept = [] if repaired is None else [repaired]
            instances += kept
        if record.get('iscrowd') or not kept:
            incomplete[image['id']].add(record['category_id'])
    return instances, crowds, incomplete


def _crowd(record: dict, width: int, height: int, report: Report, place: str) -> list[dict]:
    mask = record.get('segmentation')
    if isinstance(mask, dict) and rle_fault(mask, height, width):
        report.add('broken-crowd', place)
        return []
    report.add('crowd-moved', place)
    return [dict(record)]


def _renumber(annotations: list[dict], report: Report) -> None:
    """Make ids unique and positive: lvis-api takes a match with annotation 0 for no match."""
    if not annotations:
        return
    lowest = min(record['id'] for record in annotations)
    if lowest < 1:
        report.add('ids-shifted', f'all by {1 - lowest}', count=len(annotations))
        for record in annotations:
            record['id'] += 1 - lowest
    seen: set[int] = set()
    fresh = max(record['id'] for record in annotations) + 1
    for record in annotations:
        if record['id'] in seen:
            report.add('id-repeated', f'annotation {record["id"]} is now {fresh}')
            record['id'] = fresh
            fresh += 1
        seen.add(record['id'])


def _federated(
    data: dict,
    images: dict[int, dict],
    annotations: list[dict],
    incomplete: dict[int, set[int]],
    report: Report,
) -> list[dict]:
    category_ids = [record['id'] for record in data['categories']]
    known = set(category_ids)
    is_federated = any('neg_category_ids' in record for record in images.values())
    present: dict[int, set[int]] = defaultdict(set)
    for record in annotations:
        present[record['image_id']].add(record['category_id'])
    result = []
    for image_id, record in images.items():
        listed = _known_ids(record, 'not_exhaustive_category_ids', known, report)
        not_exhaustive = set(listed) | incomplete.get(image_id, set())
        taken = not_exhaustive | present.get(image_id, set())
        if is_federated:
            candidates = _known_ids(record, 'neg_category_ids', known, report)
            for category in sorted(taken.intersection(candidates)):
                report.add('negative-removed', f'category {category} in image {image_id}')
        else:
            candidates = category_ids
        result.append(
            {
                **record,
                'neg_category_ids': [c for c in candidates if c not in taken],
                'not_exhaustive_category_ids': sorted(not_exhaustive),
            }
        )
    return result


def _known_ids(record: dict, key: str, known: set[int], report: Report) -> list[int]:
    ids = record.get(key, [])
    if not isinstance(ids, list):
        raise AnnotationError(f'image {record["id"]}: `{key}` must be a list of category ids')
    kept = [category for category in ids if isinstance(category, int) and category in known]
    if len(kept) < len(ids):
        report.add('unknown-listed', f'image {record["id"]}')
    return kept


def _counted(training: dict) -> dict:
    """The training file itself if it carries counts, otherwise its conversion."""
    carries = all(
        type(record.get(key)) is int for record in training['categories'] for key in COUNT_KEYS
    )
    return {**training, 'annotations': None} if carries else convert_to_lvis(training)[0]


def _counts_for(categories: list[dict], counted: dict) -> Iterable[dict[str, int]]:
    """`image_count` and `instance_count` of each category, in the order of `categories`."""
    if counted['annotations'] is None:
        table = {
            record['id']: {key: record[key] for key in COUNT_KEYS}
            for record in counted['categories']
        }
    else:
        counts = count_categories(counted)
        table = {
            category: {'image_count': images, 'instance_count': instances}
            for category, images, instances in zip(*(c.tolist() for c in counts), strict=True)
        }
    names = {record['id']: record['name'] for record in counted['categories']}
    for record in categories:
        if names.get(record['id']) != record['name']:
            raise AnnotationError(
                f'category {record["id"]} ({record["name"]!r}) is '
                f'{names.get(record["id"], "absent")!r} in the training file; use the file this '
                'one belongs to'
            )
    return [table[record['id']] for record in categories]
