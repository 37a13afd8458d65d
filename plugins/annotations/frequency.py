"""Frequency groups, instance bins and the counts they are made from."""

from typing import NamedTuple

import numpy as np

from plugins.annotations.columns import to_columns

RARE_MAX = 10
COMMON_MAX = 100
LVIS_BIN_LIMITS = (10, 100, 1000)
COCO_LT_BIN_LIMITS = (20, 400, 8000)


class CategoryCounts(NamedTuple):
    """How often each category occurs; rows in increasing category id.

    Attributes:
        category_id: int64 (K,).
        image_count: int64 (K,), images with at least one instance.
        instance_count: int64 (K,), instances; crowd regions are no instances.
    """

    category_id: np.ndarray
    image_count: np.ndarray
    instance_count: np.ndarray


class ImageCategories(NamedTuple):
    """Which categories occur in each image, as compressed rows (CSR).

    Attributes:
        pointer: int64 (I + 1,); image i holds ``category[pointer[i]:pointer[i + 1]]``.
        category: int64 (M,), positions in increasing-category-id order, in [0, K), unique and
            increasing within an image.
    """

    pointer: np.ndarray
    category: np.ndarray


def frequency_group(
    image_count: int, rare_max: int = RARE_MAX, common_max: int = COMMON_MAX
) -> str:
    """LVIS frequency group of a category.

    The limits are inclusive, as in every row of LVIS v1 and v0.5: a category of 10 training images
    is rare, one of 100 is common.

    Args:
        image_count: Training images with the category, >= 0.
        rare_max: Most images of a rare category.
        common_max: Most images of a common category, >= rare_max.

    Returns:
        ``'r'``, ``'c'`` or ``'f'``.

    Raises:
        ValueError: The limits are not in order.
    """
    if not 0 <= rare_max <= common_max:
        raise ValueError(
            f'rare_max={rare_max} and common_max={common_max}: need 0 <= rare_max <= common_max'
        )
    if image_count <= rare_max:
        return 'r'
    return 'c' if image_count <= common_max else 'f'


def count_categories(data: dict) -> CategoryCounts:
    """Images and instances per category of an annotation file.

    Args:
        data: Top-level object accepted by `read_annotations`. Annotations of unknown images or
            categories and crowd regions are not counted.

    Returns:
        The counts in increasing category id.
    """
    image, category, ids = _members(data)
    _, present = _distinct(image, category, len(ids))
    return CategoryCounts(
        ids, np.bincount(present, minlength=len(ids)), np.bincount(category, minlength=len(ids))
    )


def image_categories(data: dict) -> ImageCategories:
    """Distinct categories of each image, images in the file's order.

    Args:
        data: Top-level object accepted by `read_annotations`.

    Returns:
        Compressed rows; crowd regions do not count as presence.
    """
    image, category, ids = _members(data)
    rows, present = _distinct(image, category, len(ids))
    pointer = np.searchsorted(rows, np.arange(len(data['images']) + 1))
    return ImageCategories(pointer.astype(np.int64), present)


def instance_bin(
    instance_count: np.ndarray, limits: tuple[int, ...] = LVIS_BIN_LIMITS
) -> np.ndarray:
    """Bin of each category by its training instances (AP1 .. AP4 of the SimCal paper).

    Args:
        instance_count: int (K,), training instances, >= 0.
        limits: Increasing lower bounds of the second and later bins.

    Returns:
        int64 (K,): b for a count in [limits[b - 1], limits[b]), -1 for a category without a
        training instance, which belongs to no bin.
    """
    instance_count = np.asarray(instance_count)
    return np.where(instance_count > 0, np.digitize(instance_count, limits), -1)


def bin_names(limits: tuple[int, ...] = LVIS_BIN_LIMITS) -> list[str]:
    """Names of the instance bins, such as ``[10,100)``."""
    lower = (1, *limits)
    upper = (*limits, 'inf')
    return [f'[{a},{b})' for a, b in zip(lower, upper, strict=True)]


def _members(data: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns = to_columns(data)
    ids, rank = np.unique(columns.category_ids, return_inverse=True)
    valid = (columns.image >= 0) & (columns.category >= 0) & ~columns.is_crowd
    return columns.image[valid], rank[columns.category[valid]], ids


def _distinct(
    image: np.ndarray, category: np.ndarray, num_categories: int
) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.unique(image * num_categories + category)
    return np.divmod(pairs, num_categories)
