"""COCO-LT: a long-tailed sample of COCO's training annotations (SimCal paper, ECCV 2020).

The paper only calls its sampling exponential; the formula used here was fitted to the released
counts: the most frequent categories stay whole, the rest shrink by a constant factor per rank.
"""

from collections import defaultdict

import numpy as np

from plugins.annotations.convert import convert_to_lvis
from plugins.annotations.frequency import count_categories, frequency_group
from plugins.annotations.problems import Problem
from plugins.annotations.reading import AnnotationError

HEAD = 20
TAIL_COUNT = 11


def exponential_targets(
    instance_count: np.ndarray, head: int = HEAD, tail_count: int = TAIL_COUNT
) -> np.ndarray:
    """Instances to keep per category: n_k = min(n, round(n_head * mu^(k - head))), k = rank from 1.

    mu is chosen so that the last rank gets `tail_count`. Ties in rank keep the given order.

    Args:
        instance_count: int (K,), instances available, >= 0.
        head: Most frequent categories that keep all instances, 1 <= head < K.
        tail_count: Instances of the rarest category, >= 1.

    Returns:
        int64 (K,), in the given order, <= `instance_count`.

    Raises:
        ValueError: There are too few categories, or the head's last category has fewer than
            `tail_count` instances.
    """
    instance_count = np.asarray(instance_count, np.int64)
    num_categories = len(instance_count)
    if not 1 <= head < num_categories:
        raise ValueError(f'head={head}: must be in [1, {num_categories}), the number of categories')
    if tail_count < 1:
        raise ValueError(f'tail_count={tail_count}: must be at least 1')
    order = np.argsort(-instance_count, kind='stable')
    ranked = instance_count[order]
    start = ranked[head - 1]
    if start < tail_count:
        raise ValueError(
            f'rank {head} has {start} instances, fewer than tail_count={tail_count}; lower one'
        )
    mu = (tail_count / start) ** (1 / (num_categories - head))
    steps = np.maximum(np.arange(1, num_categories + 1) - head, 0)
    ideal = np.where(steps > 0, np.rint(start * mu**steps), ranked).astype(np.int64)
    targets = np.empty(num_categories, np.int64)
    targets[order] = np.minimum(ranked, ideal)
    return targets


def listed_targets(categories: list[dict], counts: dict) -> np.ndarray:
    """Instances to keep per category from a table of counts, matched by name.

    Args:
        categories: Category records of the annotation file.
        counts: ``{'categories': [{'name': ..., 'instance_count': ...}, ...]}``.

    Returns:
        int64 (K,), in the order of `categories`.

    Raises:
        AnnotationError: The table has another form or lacks a category.
    """
    try:
        table = {row['name']: int(row['instance_count']) for row in counts['categories']}
    except (KeyError, TypeError, ValueError):
        raise AnnotationError(
            'the counts need {"categories": [{"name": ..., "instance_count": ...}, ...]}'
        ) from None
    lacking = [record['name'] for record in categories if record['name'] not in table]
    if lacking:
        raise AnnotationError(
            f'the counts lack {len(lacking)} of {len(categories)} categories, the first is '
            f'{lacking[0]!r}; use the table that belongs to this file'
        )
    return np.array([table[record['name']] for record in categories], np.int64)


def make_coco_lt(
    data: dict,
    seed: int,
    counts: dict | None = None,
    head: int = HEAD,
    tail_count: int = TAIL_COUNT,
) -> tuple[dict, list[Problem]]:
    """Draw a long-tailed training set and write it in LVIS format.

    Annotations are dropped at random, then images left without any. A dropped object stays in the
    picture, so its category is never a verified negative there, and where some of its annotations
    remain it is not exhaustively annotated. Crowd regions of the remaining images are kept aside as
    `convert_to_lvis` does.

    Args:
        data: Top-level object of a COCO-format training file; it is not changed.
        seed: Decides what is dropped; a category's draw does not depend on the others.
        counts: Table of target counts by name; None uses `exponential_targets`.
        head: See `exponential_targets`.
        tail_count: See `exponential_targets`.

    Returns:
        The sampled file, and what the conversion changed.

    Raises:
        AnnotationError: The file or the counts cannot be used.
        ValueError: See `exponential_targets`.
    """
    lvis, changes = convert_to_lvis(data)
    categories = sorted(lvis['categories'], key=lambda record: record['id'])
    if counts is None:
        targets = exponential_targets(count_categories(lvis).instance_count, head, tail_count)
    else:
        targets = listed_targets(categories, counts)
    wanted = {record['id']: int(n) for record, n in zip(categories, targets, strict=True)}
    kept, dropped = _draw(lvis['annotations'], wanted, seed)
    sampled = _without(lvis, kept, dropped)
    tally = {
        category: {'image_count': images, 'instance_count': instances}
        for category, images, instances in zip(
            *(column.tolist() for column in count_categories(sampled)), strict=True
        )
    }
    sampled['categories'] = [
        {
            **record,
            **tally[record['id']],
            'frequency': frequency_group(tally[record['id']]['image_count']),
        }
        for record in lvis['categories']
    ]
    return sampled, changes


def _draw(
    annotations: list[dict], wanted: dict[int, int], seed: int
) -> tuple[list[dict], list[dict]]:
    members: dict[int, list[int]] = defaultdict(list)
    for position, record in enumerate(annotations):
        members[record['category_id']].append(position)
    chosen = np.zeros(len(annotations), bool)
    for category, positions in members.items():
        generator = np.random.default_rng([seed, category])
        size = min(wanted[category], len(positions))
        chosen[generator.choice(positions, size, replace=False)] = True
    kept = [record for record, keep in zip(annotations, chosen, strict=True) if keep]
    dropped = [record for record, keep in zip(annotations, chosen, strict=True) if not keep]
    return kept, dropped


def _without(lvis: dict, kept: list[dict], dropped: list[dict]) -> dict:
    """The file with the kept annotations, its images and their federated lists."""
    present, lost = defaultdict(set), defaultdict(set)
    for table, records in ((present, kept), (lost, dropped)):
        for record in records:
            table[record['image_id']].add(record['category_id'])
    images = []
    for record in lvis['images']:
        here = present.get(record['id'])
        if here:
            partly = here & lost.get(record['id'], set())
            listed = set(record['not_exhaustive_category_ids']) | partly
            images.append({**record, 'not_exhaustive_category_ids': sorted(listed)})
    crowds = [record for record in lvis['crowd_annotations'] if record['image_id'] in present]
    return {**lvis, 'images': images, 'annotations': kept, 'crowd_annotations': crowds}
