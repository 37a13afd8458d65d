"""Random parts of a data set, for the low-shot experiment of the LVIS paper."""

import numpy as np


def random_subset(num_images: int, size: int, seed: int) -> np.ndarray:
    """Choose ``size`` of ``num_images`` images at random, each as likely as any other.

    Subsets of one seed are nested: a smaller one is contained in every larger one, so that a curve
    over the size shows more data, not other data.

    Args:
        num_images: Images to choose from.
        size: Images to choose, in [0, num_images].
        seed: In [0, 2**32).

    Returns:
        Positions of the chosen images, int64, shape (size,), ascending.
    """
    # The stream of RandomState is fixed for good; that of newer generators may change.
    return np.sort(np.random.RandomState(seed).permutation(num_images)[:size])
