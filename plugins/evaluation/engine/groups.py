"""The (image, category) pairs that are evaluated, with their annotations and results.

With federated annotations most pairs say nothing: a result counts only where its category is known
to be present or absent. Only those pairs are visited.
"""

from dataclasses import dataclass

import numpy as np

from plugins.compilation import compiled
from plugins.evaluation.engine.ranking import Ranking
from plugins.evaluation.engine.records import GroundTruth, Rules


@dataclass(frozen=True, slots=True)
class Groups:
    """V pairs, by image and category, with S results and the annotations that take part.

    Attributes:
        image: int32 (V,).
        category: int32 (V,).
        not_exhaustive: bool (V,), unmatched results are ignored.
        ann_offset: int64 (V + 1,), where the annotations of each pair begin in ``annotation``.
        annotation: int32, annotations by pair, within it in the order of the file.
        offset: int64 (V + 1,), where the results of each pair begin in ``detection``.
        detection: int32 (S,), results by pair, within it by falling score.
    """

    image: np.ndarray
    category: np.ndarray
    not_exhaustive: np.ndarray
    ann_offset: np.ndarray
    annotation: np.ndarray
    offset: np.ndarray
    detection: np.ndarray

    def __len__(self) -> int:
        return len(self.image)


def make_groups(ground_truth: GroundTruth, ranking: Ranking, rules: Rules) -> Groups:
    """Find the pairs to evaluate and sort annotations and results into them."""
    size = len(ground_truth.category_ids)
    annotation, ann_pair = _annotations_by_pair(ground_truth, rules)
    if rules.federated:
        absent = _listed_pairs(ground_truth.neg_offset, ground_truth.neg_category, size)
        pairs = np.unique(np.concatenate([ann_pair, absent]))
        vague = _listed_pairs(ground_truth.ne_offset, ground_truth.ne_category, size)
        not_exhaustive = np.isin(pairs, vague)
    else:
        known = ranking.category >= 0
        detected = ranking.image[known].astype(np.int64) * size + ranking.category[known]
        pairs = np.unique(np.concatenate([ann_pair, detected]))
        not_exhaustive = np.zeros(len(pairs), bool)
    image, category = np.divmod(pairs, max(size, 1))
    image_offset = np.searchsorted(image, np.arange(len(ground_truth.image_ids) + 1))
    category = category.astype(np.int32)
    offset, detection = _sort_into_pairs(
        image_offset, category, ranking.image_offset, ranking.by_image, ranking.category, size
    )
    return Groups(
        image=image.astype(np.int32),
        category=category,
        not_exhaustive=not_exhaustive,
        ann_offset=np.append(np.searchsorted(ann_pair, pairs), len(ann_pair)),
        annotation=annotation,
        offset=offset,
        detection=detection,
    )


def _annotations_by_pair(ground_truth: GroundTruth, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Annotations that take part, sorted by pair, and their pairs (image * K + category)."""
    area = ground_truth.ann_area
    kept = np.flatnonzero((area > 0) & (area < np.inf)) if rules.drop_zero_area else slice(None)
    annotation = np.arange(len(area), dtype=np.int32)[kept]
    pair = ground_truth.ann_image[annotation].astype(np.int64) * len(ground_truth.category_ids)
    pair += ground_truth.ann_category[annotation]
    order = np.argsort(pair, kind='stable')
    return annotation[order], pair[order]


def _listed_pairs(offset: np.ndarray, category: np.ndarray, n_categories: int) -> np.ndarray:
    image = np.repeat(np.arange(len(offset) - 1, dtype=np.int64), np.diff(offset))
    return image * n_categories + category


@compiled
def _sort_into_pairs(image_offset, category, result_offset, by_image, result_category, n):
    """Results by pair; ``image_offset`` tells where the pairs of each image begin."""
    pair_of = np.full(n, -1, np.int64)
    offset = np.zeros(len(category) + 1, np.int64)
    # First how many results each pair has, then where they go.
    for image in range(len(image_offset) - 1):
        low, high = image_offset[image], image_offset[image + 1]
        for pair in range(low, high):
            pair_of[category[pair]] = pair
        for place in range(result_offset[image], result_offset[image + 1]):
            key = result_category[by_image[place]]
            if key >= 0 and low <= pair_of[key] < high:
                offset[pair_of[key] + 1] += 1
    for pair in range(len(category)):
        offset[pair + 1] += offset[pair]
    sorted_results = np.empty(offset[-1], np.int32)
    filled = offset[:-1].copy()
    for image in range(len(image_offset) - 1):
        low, high = image_offset[image], image_offset[image + 1]
        for pair in range(low, high):
            pair_of[category[pair]] = pair
        for place in range(result_offset[image], result_offset[image + 1]):
            result = by_image[place]
            key = result_category[result]
            if key >= 0 and low <= pair_of[key] < high:
                sorted_results[filled[pair_of[key]]] = result
                filled[pair_of[key]] += 1
    return offset, sorted_results
