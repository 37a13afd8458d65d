"""The long tail of LVIS v1, as a few quantiles, fitted to any number of categories and images."""

import numpy as np

# 31 equidistant quantiles of `image_count` over the 1,203 categories of LVIS v1 train, and 21 of
# instance_count / image_count. Source: the tables lvis_v1_categories.py and
# lvis_v1_category_image_count.py of facebookresearch/detectron2. The two are almost independent
# (correlation of their logarithms 0.18).
# fmt: off
IMAGE_COUNT_QUANTILES = np.array([
    1, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 18, 22, 27.8, 31, 37, 46, 54, 66.3, 81, 102.5, 130.6,
    188.7, 247, 360.3, 595, 894.3, 1402.4, 1793.4, 1903.4, 1977,
])
INSTANCES_PER_IMAGE_QUANTILES = np.array([
    1, 1, 1.01, 1.13, 1.23, 1.32, 1.42, 1.51, 1.65, 1.83, 2, 2.15, 2.4, 2.67, 3.05, 3.64, 4.18,
    5.23, 7.45, 11.55, 57.33,
])
# fmt: on
LVIS_TRAIN_IMAGES = 100_170
LVIS_LIMITS = (10, 100)
# No category is in more than this share of the images, so that each has verified negatives.
MAX_IMAGE_SHARE = 0.6


def frequency_limits(train_images: int) -> tuple[int, int]:
    """Most train images of a rare and of a common category.

    LVIS v1 draws the line at 10 and 100 of 100,170 images, which is that number to the power of
    1/5 and of 2/5. The same powers keep the groups at the same places of the logarithmic count
    axis in a smaller set, where limits in proportion (0.04 and 0.4 images of 400) would be empty.

    Args:
        train_images: images of the train split, at least 1.

    Returns:
        (rare, common), at least (2, 5), at most LVIS's own (10, 100).
    """
    scaled = (round(train_images**0.2), round(train_images**0.4))
    rare, common = (min(value, limit) for value, limit in zip(scaled, LVIS_LIMITS, strict=True))
    return max(rare, 2), max(common, 5)


def frequency_group(image_count: int, limits: tuple[int, int]) -> str:
    """'r', 'c' or 'f' for a number of train images (LVIS v1 rule: r <= 10, c <= 100)."""
    if image_count <= limits[0]:
        return 'r'
    return 'c' if image_count <= limits[1] else 'f'


def image_counts(categories: int, images: int, classes_per_image: float) -> np.ndarray:
    """Number of train images of each category, the rarest first.

    LVIS's counts q are bent to ``q ** gamma`` with the gamma that gives the wanted density: the
    rarest category stays at one image. Gamma is 1 for 1,203 categories, 100,170 images and 3.6
    categories per image.

    Args:
        categories: number of categories K.
        images: number of images.
        classes_per_image: wanted mean number of categories per image.

    Returns:
        int64 (K,), ascending, in [1, 0.6 * images].
    """
    lvis = _log_quantiles(IMAGE_COUNT_QUANTILES, (np.arange(categories) + 0.5) / categories)
    highest = max(1, int(MAX_IMAGE_SHARE * images))
    wanted = classes_per_image * images
    # Above 1.3 the curve would be steeper than anything seen; the density gives way then.
    low, high = 0.0, 1.3
    for _ in range(40):
        gamma = (low + high) / 2
        if np.minimum(lvis**gamma, highest).sum() < wanted:
            low = gamma
        else:
            high = gamma
    return np.clip(np.rint(lvis**high), 1, highest).astype(np.int64)


def instance_ratios(counts: np.ndarray, instances: float, cap: int) -> np.ndarray:
    """Mean number of instances per image that contains the category.

    Args:
        counts: int (K,) image counts.
        instances: wanted total number of instances over all images.
        cap: upper bound of a ratio.

    Returns:
        float64 (K,) in [1, 0.9 * cap]; LVIS's ratios r as ``1 + s * (r - 1)``, dealt over the
        ranks by the golden section so that every frequency group holds small and large ones.
    """
    golden = np.modf(np.arange(len(counts)) * 0.6180339887 + 0.5)[0]
    excess = _log_quantiles(INSTANCES_PER_IMAGE_QUANTILES, golden) - 1
    low, high = 0.0, 20.0
    for _ in range(40):
        scale = (low + high) / 2
        if (counts * np.minimum(1 + scale * excess, 0.9 * cap)).sum() < instances:
            low = scale
        else:
            high = scale
    return np.minimum(1 + high * excess, 0.9 * cap)


def _log_quantiles(table: np.ndarray, positions: np.ndarray) -> np.ndarray:
    knots = np.linspace(0, 1, len(table))
    return np.exp(np.interp(positions, knots, np.log(table)))
