"""The long tail of an annotation file in numbers."""

import numpy as np

from plugins.annotations.frequency import (
    COMMON_MAX,
    LVIS_BIN_LIMITS,
    RARE_MAX,
    bin_names,
    count_categories,
    frequency_group,
    image_categories,
    instance_bin,
)
from plugins.annotations.repeat_factors import category_repeat_factors, image_repeat_factors


def long_tail_statistics(
    data: dict,
    *,
    threshold: float = 1e-3,
    rare_max: int = RARE_MAX,
    common_max: int = COMMON_MAX,
    bin_limits: tuple[int, ...] = LVIS_BIN_LIMITS,
) -> dict:
    """Counts, groups, bins and repeat factors, all from the file's own annotations.

    Args:
        data: Top-level object from `read_annotations`.
        threshold: Repeat-factor threshold t, a share of images.
        rare_max: Most images of a rare category.
        common_max: Most images of a common category.
        bin_limits: Lower bounds of the second and later instance bins.

    Returns:
        ``totals``; ``categories``, one row each by falling instance count; ``repeat_factors``;
        and ``image_factors``, float64 (I,), the repeat factor of every image.

    Raises:
        ValueError: The threshold or the limits are not usable.
    """
    counts = count_categories(data)
    rows = image_categories(data)
    num_images = len(data['images'])
    category_factors = category_repeat_factors(counts.image_count, num_images, threshold)
    image_factors = image_repeat_factors(rows, category_factors)
    bins = instance_bin(counts.instance_count, bin_limits)
    names = bin_names(bin_limits)
    categories = _category_rows(data, counts, category_factors, bins, names, (rare_max, common_max))
    return {
        'totals': {
            'images': num_images,
            'images_without_annotations': int((np.diff(rows.pointer) == 0).sum()),
            'instances': int(counts.instance_count.sum()),
            'categories': len(categories),
            'empty_categories': int((counts.instance_count == 0).sum()),
            'groups': {g: sum(row['group'] == g for row in categories) for g in 'rcf'},
            'bins': {name: int((bins == index).sum()) for index, name in enumerate(names)},
        },
        'repeat_factors': {
            'threshold': threshold,
            'epoch_length': float(image_factors.sum()),
            'images_above_one': int((image_factors > 1).sum()),
            'largest': float(image_factors.max(initial=1.0)),
        },
        'categories': categories,
        'image_factors': image_factors,
    }


def summary(data: dict) -> str:
    """One line on the size of a file, such as ``100 images, 977 annotations, ...``.

    The frequency groups are the file's own where it has them, and counted otherwise.

    Args:
        data: Top-level object from `read_annotations`.
    """
    groups = [record.get('frequency') for record in data['categories']]
    if None in groups:
        groups = [frequency_group(int(count)) for count in count_categories(data).image_count]
    sizes = '/'.join(str(groups.count(group)) for group in 'rcf')
    return (
        f'{len(data["images"]):,} images, {len(data["annotations"]):,} annotations, '
        f'{len(data["categories"]):,} categories ({sizes} r/c/f)'
    )


def _category_rows(data, counts, factors, bins, names, limits) -> list[dict]:
    text = {record['id']: record['name'] for record in data['categories']}
    rows = [
        {
            'id': category,
            'name': text[category],
            'group': frequency_group(images, *limits),
            'image_count': images,
            'instance_count': instances,
            'bin': names[index] if index >= 0 else None,
            'repeat_factor': factor,
        }
        for category, images, instances, index, factor in zip(
            *(column.tolist() for column in (*counts, bins, factors)), strict=True
        )
    ]
    return sorted(rows, key=lambda row: -row['instance_count'])
