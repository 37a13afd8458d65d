"""Which other images of a data set a transform mixes into a sample."""

from dataclasses import dataclass

import numpy as np

from plugins.annotations import (
    ImageCategories,
    category_repeat_factors,
    image_repeat_factors,
    images_of_categories,
)


@dataclass(frozen=True)
class PartnerDraws:
    """Draws of images and categories by repeat factors, from the global ``numpy.random``.

    Attributes:
        category_factors: float64 (K,), r_c, 1 for a category that is not over-sampled.
        image_sums: float64 (I,), running sum of the images' repeat factors r_I.
        excess_sums: float64 (K,), running sum of r_c - 1: what over-sampling adds to a category.
        pointer: int64 (K + 1,); the images of category c are ``images[pointer[c]:pointer[c + 1]]``.
        images: int (M,), positions in the data set, ascending within a category.
    """

    category_factors: np.ndarray
    image_sums: np.ndarray
    excess_sums: np.ndarray
    pointer: np.ndarray
    images: np.ndarray

    @property
    def has_tail(self) -> bool:
        """Whether any category is over-sampled."""
        return bool(self.excess_sums[-1:].sum() > 0)

    def draw_image(self) -> int:
        """An image with probability r_I / sum of r_I."""
        return _draw(self.image_sums)

    def draw_uniform_image(self) -> int:
        """Any image with the same probability."""
        return int(np.random.randint(len(self.image_sums)))

    def draw_category(self) -> int:
        """A category with probability proportional to r_c - 1; there must be a tail."""
        return _draw(self.excess_sums)

    def draw_image_of(self, category: int) -> int:
        """An image of a category, all with the same probability; it must have one."""
        first, last = self.pointer[category : category + 2]
        return int(self.images[np.random.randint(first, last)])


def partner_draws(rows: ImageCategories, num_categories: int, threshold: float) -> PartnerDraws:
    """Prepare the draws for a data set.

    Args:
        rows: Labels of each image, in any order, repetition allowed; at least one image.
        num_categories: K, more than the largest label.
        threshold: Repeat threshold t >= 0 of ``r_c = max(1, sqrt(t / f_c))``, f_c being the share
            of images with category c; at 0 every factor is 1.
    """
    num_images = len(rows.pointer) - 1
    pointer, images = images_of_categories(rows, num_categories)
    factors = category_repeat_factors(np.diff(pointer), num_images, threshold)
    return PartnerDraws(
        factors,
        np.cumsum(image_repeat_factors(rows, factors)),
        np.cumsum(factors - 1),
        pointer,
        images,
    )


def _draw(sums: np.ndarray) -> int:
    """Position drawn in proportion to the increments of a running sum whose last entry is > 0."""
    drawn = np.searchsorted(sums, np.random.random() * sums[-1], side='right')
    # The product may round up to the total; the last increment that is not 0 was meant.
    return int(min(drawn, np.searchsorted(sums, sums[-1], side='left')))
