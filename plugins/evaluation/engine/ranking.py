"""Order of results by score, and their places within images and categories.

Among equal scores the earlier result of the file comes first, as the stable sorts of lvis-api
have it.
"""

from dataclasses import dataclass

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.records import GroundTruth, Results

_DIGIT_BITS = 11
_DIGITS = 6
NOT_RANKED = 2**31 - 1
"""Place of a result that takes no part, beyond every cap."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Places of all N results, evaluated or not.

    Attributes:
        image, category: int32 (N,), as in the results.
        by_score: int32 (N,), the results by falling score.
        by_image: int32 (N,), the results by image, within it by falling score.
        image_offset: int64 (I + 1,), where each image begins in ``by_image``.
        image_rank: int32 (N,), place within the image, 0 is the best.
        category_rank: int32 (N,), place within the category over all images.
        n_categories: K.
    """

    image: np.ndarray
    category: np.ndarray
    by_score: np.ndarray
    by_image: np.ndarray
    image_offset: np.ndarray
    image_rank: np.ndarray
    category_rank: np.ndarray
    n_categories: int

    def image_ranks_among(self, chosen: np.ndarray) -> np.ndarray:
        """Places within the images when only the chosen results (bool (N,)) take part.

        Returns:
            int32 (N,), `NOT_RANKED` for the others.
        """
        return _rank_within(self.image, self.by_image, chosen, len(self.image_offset) - 1)


def rank(ground_truth: GroundTruth, results: Results) -> Ranking:
    """Rank results within their images and categories."""
    image = np.ascontiguousarray(results.image, np.int32)
    category = np.ascontiguousarray(results.category, np.int32)
    n_images, n_categories = len(ground_truth.image_ids), len(ground_truth.category_ids)
    everything = np.ones(len(results), bool)
    by_score = sort_descending(results.score, np.arange(len(results), dtype=np.int32))
    image_rank = _rank_within(image, by_score, everything, n_images)
    image_offset = np.zeros(n_images + 1, np.int64)
    np.cumsum(np.bincount(image, minlength=n_images), out=image_offset[1:])
    return Ranking(
        image=image,
        category=category,
        by_score=by_score,
        by_image=_place(image, image_offset, image_rank),
        image_offset=image_offset,
        image_rank=image_rank,
        category_rank=_rank_within(category, by_score, everything, n_categories),
        n_categories=n_categories,
    )


def sort_descending(scores: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sort stably by falling score.

    Args:
        scores: float64 (N,), no NaN.
        order: int32 (M,), the results to sort (indices into ``scores``), in the order that
            decides among equal scores.

    Returns:
        int32 (M,), the same indices, sorted.
    """
    # Adding 0 turns -0.0, whose bits differ, into 0.0.
    bits = (np.asarray(scores, np.float64) + 0.0).view(np.int64)
    return _radix_sort(bits, np.ascontiguousarray(order, np.int32))


@compiled
def _radix_sort(bits, order):
    """Least-significant-digit radix sort; digits that all keys share cost nothing."""
    n = len(order)
    keys = np.empty(n, np.int64)
    counts = np.zeros((_DIGITS, 1 << _DIGIT_BITS), np.int64)
    mask = (1 << _DIGIT_BITS) - 1
    for i in range(n):
        key = bits[order[i]]
        # Falling order of the numbers as rising order of the keys seen as unsigned: positive
        # numbers are complemented below the sign bit, negative ones keep their bits.
        if key >= 0:
            key = ~key & 0x7FFFFFFFFFFFFFFF
        keys[i] = key
        for digit in range(_DIGITS):
            counts[digit, (key >> (digit * _DIGIT_BITS)) & mask] += 1
    source = order.copy()
    target = np.empty(n, np.int32)
    target_keys = np.empty(n, np.int64)
    for digit in range(_DIGITS):
        shift = digit * _DIGIT_BITS
        if n == 0 or counts[digit, (keys[0] >> shift) & mask] == n:
            continue
        total = 0
        for value in range(1 << _DIGIT_BITS):
            total, counts[digit, value] = total + counts[digit, value], total
        for i in range(n):
            value = (keys[i] >> shift) & mask
            place = counts[digit, value]
            counts[digit, value] = place + 1
            target[place] = source[i]
            target_keys[place] = keys[i]
        source, target = target, source
        keys, target_keys = target_keys, keys
    return source


@compiled
def _rank_within(owner, order, chosen, n_owners):
    """Place of each chosen result among the chosen ones of the same owner, in the given order."""
    ranks = np.full(len(owner), NOT_RANKED, np.int32)
    counts = np.zeros(n_owners, np.int32)
    for i in order:
        key = owner[i]
        if key >= 0 and chosen[i]:
            ranks[i] = counts[key]
            counts[key] += 1
    return ranks


@compiled
def _place(image, offset, ranks):
    """Results by image and place within it."""
    placed = np.empty(len(image), np.int32)
    for i in range(len(image)):
        placed[offset[image[i]] + ranks[i]] = i
    return placed
