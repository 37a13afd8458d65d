"""Repeat factors of repeat-factor sampling (LVIS paper, CVPR 2019), in float64."""

from collections.abc import Iterable, Sequence

import numpy as np

from plugins.annotations.frequency import ImageCategories


def category_repeat_factors(
    image_count: np.ndarray, num_images: int, threshold: float = 1e-3, sqrt: bool = True
) -> np.ndarray:
    """Repeat factor of every category: r_c = max(1, sqrt(t / f_c)), f_c = image_count / num_images.

    Args:
        image_count: int (K,), images with the category, in [0, num_images].
        num_images: Images in the data set that is sampled from, >= 1.
        threshold: t >= 0, the share of images below which a category is over-sampled; 0 turns it
            off.
        sqrt: False leaves out the root: r_c = max(1, t / f_c).

    Returns:
        float64 (K,), >= 1; 1 for a category without images, which cannot be over-sampled.

    Raises:
        ValueError: `threshold` is negative or not finite, or `num_images` < 1.
    """
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ValueError(f'threshold={threshold}: must be a finite number >= 0')
    if num_images < 1:
        raise ValueError(f'num_images={num_images}: an empty data set has no repeat factors')
    image_count = np.asarray(image_count, np.float64)
    share = image_count / num_images
    ratio = np.divide(threshold, share, out=np.zeros_like(share), where=share > 0)
    return np.maximum(1.0, np.sqrt(ratio) if sqrt else ratio)


def image_repeat_factors(rows: ImageCategories, category_factors: np.ndarray) -> np.ndarray:
    """Repeat factor of every image: the largest of its categories' factors.

    Args:
        rows: Categories of each image; repeated entries make no difference.
        category_factors: float64 (K,), from `category_repeat_factors`.

    Returns:
        float64 (I,), >= 1; 1 for an image without annotations.
    """
    lengths = np.diff(rows.pointer)
    factors = np.ones(len(lengths))
    filled = lengths > 0
    if filled.any():
        # Empty rows are left out: reduceat would hand them their neighbour's value.
        starts = np.asarray(rows.pointer)[:-1][filled]
        members = np.asarray(category_factors, np.float64)[rows.category]
        factors[filled] = np.maximum(1.0, np.maximum.reduceat(members, starts))
    return factors


def count_images(rows: ImageCategories, num_categories: int) -> np.ndarray:
    """Images per category; an image that lists a category twice counts once.

    Args:
        rows: Categories of each image, entries in [0, num_categories).
        num_categories: K.

    Returns:
        int64 (K,).
    """
    return np.diff(images_of_categories(rows, num_categories)[0])


def images_of_categories(
    rows: ImageCategories, num_categories: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows turned over: the images of each category, each image once.

    Args:
        rows: Categories of each image, in any order, repetition allowed.
        num_categories: K, more than the largest category.

    Returns:
        Compressed rows: int64 (K + 1,) ``pointer`` and int64 ``images``, so that those of category
        c are ``images[pointer[c]:pointer[c + 1]]``, ascending.
    """
    image = np.repeat(np.arange(len(rows.pointer) - 1), np.diff(rows.pointer))
    # numpy sorts short integers in linear time; this is most of the work at LVIS scale.
    kind = np.uint16 if num_categories <= 2**16 else np.int64
    category = np.asarray(rows.category).astype(kind)
    order = np.argsort(category, kind='stable')
    image, category = image[order], category[order]
    is_first = np.ones(len(image), bool)
    is_first[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    counts = np.bincount(category[is_first], minlength=num_categories)
    return np.concatenate([[0], np.cumsum(counts)]), image[is_first]


def rows_from_lists(categories: Iterable[Sequence[int]]) -> ImageCategories:
    """Compressed rows from one list of category indices per image.

    Args:
        categories: For each image its category indices, in any order, duplicates allowed.

    Returns:
        Rows in the same order, entries as given.
    """
    lists = list(categories)
    lengths = np.fromiter((len(row) for row in lists), np.int64, len(lists))
    pointer = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.fromiter((entry for row in lists for entry in row), np.int64, int(pointer[-1]))
    return ImageCategories(pointer, flat)
