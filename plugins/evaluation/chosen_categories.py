"""Annotations of a part of the categories, as if there were no others."""

from collections.abc import Sequence

from plugins.errors import UserError


def only_categories(data: dict, classes: Sequence[str]) -> dict:
    """Return annotations as if there were no categories but those of these names.

    Args:
        data: A parsed annotation file in LVIS format.
        classes: The names.

    Raises:
        UserError: The file has no category of a name.
    """
    names = {category['name'] for category in data['categories']}
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise UserError(
            f'evaluator.ann_file has no category {unknown[0]!r}, which the data set has '
            f'({len(unknown)} such); give both the same file'
        )
    categories = [c for c in data['categories'] if c['name'] in set(classes)]
    kept = {category['id'] for category in categories}
    lists = ('neg_category_ids', 'not_exhaustive_category_ids')
    return dict(
        images=[
            {**image, **{k: [i for i in image[k] if i in kept] for k in lists if k in image}}
            for image in data['images']
        ],
        annotations=[a for a in data['annotations'] if a['category_id'] in kept],
        categories=categories,
    )
