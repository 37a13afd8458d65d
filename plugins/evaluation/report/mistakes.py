"""False positives and misses of single categories, with what went wrong in words.

The kinds of mistakes and their limits follow D. Bolya et al., TIDE: A General Toolbox for
Identifying Object Detection Errors, ECCV 2020: an overlap of at least 0.5 counts as the same
object, one of at least 0.1 as an attempt at it.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from plugins.evaluation.engine import GroundTruth, Matches, Results
from plugins.evaluation.report.crops import draw_crop, region_around
from plugins.evaluation.report.data import Crop, CropList, RunExamples
from plugins.evaluation.report.shapes import Shapes

_SAME, _TRIED = 0.5, 0.1
_KEPT = 64  # images whose detections are remembered

ReadPicture = Callable[[int], np.ndarray | None]


class Mistakes:
    """Finds and pictures what one run got wrong."""

    def __init__(
        self,
        ground_truth: GroundTruth,
        results: Results,
        matches: Matches,
        keep: np.ndarray,
        shapes: Shapes,
        read_picture: ReadPicture | None,
    ) -> None:
        """Remember the matching.

        Args:
            ground_truth: The annotations.
            results: The detections.
            matches: Made with ``keep_pairs_at=0.5``.
            keep: bool (M,), the matched detections that the protocol counts.
            shapes: Masks or boxes of both sides.
            read_picture: Gives the picture of an image id; None draws shapes on a plain ground.
        """
        self._truth = ground_truth
        self._results = results
        self._matches = matches
        self._shapes = shapes
        self._read_picture = read_picture
        wrong = ((matches.tp[0] | matches.ignored[0]) & 1) == 0
        self._false = np.flatnonzero(keep & wrong)
        self._false_category = matches.category[self._false]
        self._found = np.zeros(len(ground_truth.ann_id), bool)
        if keep.any():
            pairs = matches.pair[keep]
            self._found[pairs[pairs >= 0]] = True
        self._in_image = lru_cache(maxsize=_KEPT)(self._search_image)

    def examples(self, category: int, most: int) -> RunExamples:
        """Pictures of the mistakes in a category.

        Args:
            category: Index of the category.
            most: How many of each kind, the most confident false positives and largest misses.
        """
        rows = self._false[slice(*np.searchsorted(self._false_category, [category, category + 1]))]
        truth = self._truth
        missed = np.flatnonzero(
            (truth.ann_category == category)
            & ~self._found
            & ~truth.ann_ignore
            & ~truth.ann_crowd
            & (truth.ann_area > 0)
        )
        missed = missed[np.argsort(-truth.ann_area[missed], kind='stable')]
        return RunExamples(
            CropList([self._false_positive(int(row)) for row in rows[:most]], len(rows)),
            CropList([self._miss(int(index)) for index in missed[:most]], len(missed)),
        )

    def _false_positive(self, row: int) -> Crop:
        detection, category = int(self._matches.detection[row]), int(self._matches.category[row])
        image = int(self._matches.image[row])
        _, annotations = self._in_image(image)
        overlap = self._shapes.overlaps(np.array([detection]), annotations)[0]
        is_own = self._truth.ann_category[annotations] == category
        own = _best(np.where(is_own, overlap, 0))
        other = _best(np.where(is_own, 0, overlap))
        shown = None
        if own is not None and overlap[own] >= _SAME:
            shown, words = own, f'found before (IoU {overlap[own]:.2f})'
        elif other is not None and overlap[other] >= _SAME:
            name = self._name(self._truth.ann_category[annotations[other]])
            shown, words = other, f'annotated as {name} (IoU {overlap[other]:.2f})'
        elif own is not None and overlap[own] >= _TRIED:
            shown, words = own, f'badly placed (IoU {overlap[own]:.2f})'
        else:
            words = 'nothing annotated here'
        annotation = None if shown is None else int(annotations[shown])
        score = float(self._results.score[detection])
        alt = f'detection of {self._name(category)}, score {100 * score:.1f} %: {words}'
        return self._crop(image, detection, annotation, score, words, alt)

    def _miss(self, annotation: int) -> Crop:
        image = int(self._truth.ann_image[annotation])
        category = int(self._truth.ann_category[annotation])
        detections, _ = self._in_image(image)
        overlap = self._shapes.overlaps(detections, np.array([annotation]))[:, 0]
        is_own = self._results.category[detections] == category
        scores = self._results.score[detections]
        own = _best(np.where(is_own, overlap, 0))
        same = np.flatnonzero(~is_own & (overlap >= _SAME))
        shown = None
        if own is not None and overlap[own] >= _SAME:
            shown, words = own, 'its detection counts for a neighbour or is beyond the limit'
        elif len(same):
            shown = int(same[np.argmax(scores[same])])
            name = self._name(self._results.category[detections[shown]])
            words = f'found as {name} (score {100 * scores[shown]:.1f} %)'
        elif own is not None and overlap[own] >= _TRIED:
            shown = own
            words = f'badly placed (IoU {overlap[own]:.2f}, score {100 * scores[own]:.1f} %)'
        else:
            words = 'nothing found here'
        detection = None if shown is None else int(detections[shown])
        alt = f'missed {self._name(category)}: {words}'
        return self._crop(image, detection, annotation, None, words, alt)

    def _crop(
        self,
        image: int,
        detection: int | None,
        annotation: int | None,
        score: float | None,
        words: str,
        alt: str,
    ) -> Crop:
        truth, shapes = self._truth, self._shapes
        detected = None if detection is None else shapes.detections(np.array([detection]))[0]
        annotated = None if annotation is None else shapes.annotations(np.array([annotation]))[0]
        height, width = int(truth.height[image]), int(truth.width[image])
        boxes = [shapes.box(shape) for shape in (detected, annotated) if shape is not None]
        image_id = int(truth.image_ids[image])
        picture = self._read_picture(image_id) if self._read_picture else None
        if picture is not None and picture.shape[:2] != (height, width):
            picture = None  # another picture than the one that was annotated
        region = region_around(boxes, height, width)
        return Crop(draw_crop(picture, region, detected, annotated), alt, score, words, image_id)

    def _search_image(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the detections and of the annotations of an image."""
        return (
            np.flatnonzero(self._results.image == image),
            np.flatnonzero(self._truth.ann_image == image),
        )

    def _name(self, category: int) -> str:
        return self._truth.names[category] if category >= 0 else 'an unknown category'


def _best(overlap: np.ndarray) -> int | None:
    return int(np.argmax(overlap)) if overlap.size and overlap.max() > 0 else None
