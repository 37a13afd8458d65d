"""The best k detections of every class over all images, found while they come."""

import numpy as np

from plugins.compilation import compiled
from plugins.errors import UserError


class ClassBudget:
    """The k best of every class so far: a rising bar that a detection has to pass.

    Better means a higher score; among equal scores the smaller image id, then the earlier place in
    the image. That is a total order, so the detections may come in any order and from any number
    of processes: the best of all are the best of the best of each.

    What is kept per detection are the score, the image and the place, so memory is bounded by 20
    bytes x k x classes and grows as they fill.

    Args:
        k: Detections per class, at least 1.
        num_classes: How many classes to expect; more may come.

    Raises:
        UserError: k is so large that the addresses do not suffice.
    """

    def __init__(self, k: int, num_classes: int = 0) -> None:
        self.k = k
        self._counts = np.zeros(0, np.int64)
        self._rows = _rows(0, k)
        self._grow(num_classes)

    def __len__(self) -> int:
        """How many detections are the best of their classes so far."""
        return int(self._counts.sum())

    def offer(self, scores: np.ndarray, labels: np.ndarray, image: int) -> np.ndarray:
        """Let the detections of an image compete.

        Args:
            scores: float (N,), finite.
            labels: int (N,), not negative.
            image: Its id; an image is offered once.

        Returns:
            bool (N,), True where the detection is among the best of its class so far.
        """
        scores, labels = self._prepared(scores, labels)
        _offer(scores, labels, image, *self._rows, self._counts)
        return self.holds(scores, labels, image)

    def holds(self, scores: np.ndarray, labels: np.ndarray, image: int) -> np.ndarray:
        """Which detections of an image that was offered are still among the best.

        When some of its detections have been left out since, those at the bar may be kept that
        are below it by their place alone.

        Returns:
            bool (N,).
        """
        scores, labels = self._prepared(scores, labels)
        return _holds(scores, labels, image, *self._rows, self._counts)

    def _prepared(self, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels = np.array(labels, np.int64)
        if len(labels):
            if labels.min() < 0:
                raise ValueError(f'a class cannot be {labels.min()}')
            self._grow(int(labels.max()) + 1)
        return np.array(scores, np.float64), labels

    def _grow(self, num_classes: int) -> None:
        if num_classes <= len(self._counts):
            return
        more = max(num_classes, 2 * len(self._counts)) - len(self._counts)
        self._counts = np.append(self._counts, np.zeros(more, np.int64))
        added = _rows(more, self.k)
        if len(self._rows[0]):
            added = tuple(map(np.concatenate, zip(self._rows, added, strict=True)))
        self._rows = added


def _rows(num_classes: int, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, images and places, one heap per class with its worst in front, all empty."""
    try:
        # Pages of zeros take no memory until they are written to.
        return tuple(np.zeros((num_classes, k), t) for t in (np.float64, np.int64, np.int32))
    except (MemoryError, ValueError, OverflowError):
        raise UserError(
            f'evaluator.dets_per_class={k} needs more memory than there is for {num_classes} '
            'classes; lower it, or take -1 for no limit'
        ) from None


@compiled
def _offer(scores, labels, image, heap_score, heap_image, heap_place, counts):
    """Put every detection that is good enough into the heap of its class."""
    k = heap_score.shape[1]
    for i in range(len(scores)):
        row = labels[i]
        score, images, places = heap_score[row], heap_image[row], heap_place[row]
        if counts[row] < k:
            at = counts[row]
            counts[row] += 1
            while at > 0:
                parent = (at - 1) // 2
                if not _is_worse(
                    scores[i], image, i, score[parent], images[parent], places[parent]
                ):
                    break
                score[at], images[at], places[at] = score[parent], images[parent], places[parent]
                at = parent
        elif _is_worse(score[0], images[0], places[0], scores[i], image, i):
            at = 0
            while True:
                child = 2 * at + 1
                if child >= k:
                    break
                other = child + 1
                if other < k and _is_worse(
                    score[other], images[other], places[other],
                    score[child], images[child], places[child],
                ):  # fmt: skip
                    child = other
                if not _is_worse(score[child], images[child], places[child], scores[i], image, i):
                    break
                score[at], images[at], places[at] = score[child], images[child], places[child]
                at = child
        else:
            continue
        score[at], images[at], places[at] = scores[i], image, i


@compiled
def _holds(scores, labels, image, heap_score, heap_image, heap_place, counts):
    held = np.ones(len(scores), np.bool_)
    k = heap_score.shape[1]
    for i in range(len(scores)):
        row = labels[i]
        if counts[row] == k:
            held[i] = not _is_worse(
                scores[i], image, i, heap_score[row, 0], heap_image[row, 0], heap_place[row, 0]
            )
    return held


@compiled
def _is_worse(score, image, place, other_score, other_image, other_place):
    if score != other_score:
        return score < other_score
    if image != other_image:
        return image > other_image
    return place > other_place
