"""Smaller evaluation sets of each category, drawn from its positive and negative images."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tools.light import import_light

if TYPE_CHECKING:
    from plugins.evaluation.engine import GroundTruth, Matches, Rules


@dataclass(frozen=True)
class EvaluationSets:
    """The images that each of K categories is evaluated on, as indices, distinct.

    Attributes:
        positive: K arrays, images that hold the category.
        negative: K arrays, images known not to hold it.
        n_images: I.
    """

    positive: list[np.ndarray]
    negative: list[np.ndarray]
    n_images: int

    def shuffled(self, generator: np.random.Generator) -> 'EvaluationSets':
        """The same sets in random order: their beginnings are random subsets, nested by size."""
        return EvaluationSets(
            [generator.permutation(images) for images in self.positive],
            [generator.permutation(images) for images in self.negative],
            self.n_images,
        )

    def beginning(self, positive: int | None, negative: int | None) -> np.ndarray:
        """The first images of every set.

        Args:
            positive: How many positive images per category, all if None or if there are fewer.
            negative: The same of negative ones.

        Returns:
            bool (K, I), whether a category is evaluated in an image.
        """
        member = np.zeros((len(self.positive), self.n_images), dtype=bool)
        for row, present, absent in zip(member, self.positive, self.negative, strict=True):
            row[present[:positive]] = True
            row[absent[:negative]] = True
        return member


def evaluation_sets(ground_truth: 'GroundTruth', rules: 'Rules') -> EvaluationSets:
    """Positive and negative images of each category.

    With LVIS rules the negative ones are those that the file lists; with COCO rules all images
    are annotated exhaustively, and every image that is not positive is negative.

    Args:
        ground_truth: Annotations.
        rules: `LVIS` or `COCO`.
    """
    n_images, n_categories = len(ground_truth.image_ids), len(ground_truth.category_ids)
    present = np.zeros((n_categories, n_images), dtype=bool)
    kept = ground_truth.ann_area > (0 if rules.drop_zero_area else -np.inf)
    present[ground_truth.ann_category[kept], ground_truth.ann_image[kept]] = True
    absent = ~present
    if rules.federated:
        listed = np.zeros_like(present)
        image = np.repeat(np.arange(n_images), np.diff(ground_truth.neg_offset))
        listed[ground_truth.neg_category, image] = True
        absent &= listed
    return EvaluationSets(
        [np.flatnonzero(row) for row in present], [np.flatnonzero(row) for row in absent], n_images
    )


def restricted_precision(
    ground_truth: 'GroundTruth', matches: 'Matches', keep: np.ndarray, member: np.ndarray
) -> float:
    """AP over all categories as if each were annotated in some images only.

    Matching of one category in one image depends on nothing else, so that the decisions stay
    and only what counts changes.

    Args:
        ground_truth: Annotations.
        matches: Outcome of the engine's matching, M results, of masks or boxes.
        keep: bool (M,), results within the limits of the protocol.
        member: bool (K, I), whether a category is evaluated in an image.

    Returns:
        AP in [0, 1], -1 where no annotation is left.
    """
    engine = import_light('evaluation.engine')
    counted = replace(matches, n_gt=count_annotations(ground_truth, matches.rules, member))
    inside = member[matches.category, matches.image]
    return engine.mean_precision(engine.accumulate(counted, keep & inside))


def count_annotations(
    ground_truth: 'GroundTruth', rules: 'Rules', member: np.ndarray
) -> np.ndarray:
    """Annotations that count in the images of each category, int64 (A, K) per area range."""
    limits = import_light('evaluation.engine').AREA_LIMITS
    area = ground_truth.ann_area
    counts = ~(ground_truth.ann_crowd if rules.crowd else ground_truth.ann_ignore)
    counts &= member[ground_truth.ann_category, ground_truth.ann_image]
    if rules.drop_zero_area:
        counts &= (area > 0) & (area < np.inf)
    size = len(ground_truth.category_ids)
    return np.stack(
        [
            np.bincount(
                ground_truth.ann_category[counts & (area >= low) & (area <= high)], minlength=size
            )
            for low, high in limits
        ]
    )
