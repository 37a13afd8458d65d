"""The detections of a whole test, read from what its processes stored."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from plugins.evaluation.engine import GroundTruth, Results
from plugins.evaluation.stream.gathering import GatheredResults
from plugins.evaluation.stream.image_record import ImageRecord, decode
from plugins.evaluation.stream.selection import Needs, Selection
from plugins.evaluation.stream.shards import FileShard, MemoryShard


class CollectedDetections:
    """All images of a test, one record each, in any order, never all at once.

    Among equal scores in a budget per class the smaller image id comes first: results depend
    neither on the number of processes nor on the order in which images were tested.

    Args:
        shards: What was stored; of an image that is there several times the first counts.
        needs: Left out is what these do not need; None keeps everything.
        num_classes: How many classes to expect.
    """

    def __init__(
        self,
        shards: Sequence[FileShard | MemoryShard],
        needs: Needs | None = None,
        num_classes: int = 0,
    ) -> None:
        self._shards = shards
        self._selection = None if needs is None else Selection(needs, num_classes)
        self._places: dict[int, tuple[int, int]] = {}
        self.has_mask_scores = False
        for number, shard in enumerate(shards):
            for place, payload in shard.scan():
                self._take(decode(payload), (number, place))
        self.image_ids = sorted(self._places)

    def _take(self, record: ImageRecord, place: tuple[int, int]) -> None:
        if record.img_id in self._places:
            return
        self._places[record.img_id] = place
        self.has_mask_scores |= record.mask_scores is not None
        if self._selection is not None:
            self._selection.offer(record)

    def __len__(self) -> int:
        return len(self._places)

    def records(self, image_ids: Iterable[int] | None = None) -> Iterator[ImageRecord]:
        """Read images one after the other, by default those that are there by ascending id.

        Args:
            image_ids: Which, and in what order; those that were not tested are left out.
        """
        for image_id in self.image_ids if image_ids is None else image_ids:
            if image_id in self._places:
                number, place = self._places[image_id]
                record = decode(self._shards[number].read(place))
                if self._selection is not None:
                    record = record.select(self._selection.keep(record))
                yield record

    def results(
        self, ground_truth: GroundTruth, *, masks: bool, codes_file: Path | None = None
    ) -> dict[str, Results]:
        """Everything in the form of the evaluation, by ascending image id.

        Args:
            ground_truth: What it will be compared with; must have the images.
            masks: Also the run-length codes.
            codes_file: Where the codes are put to be mapped into memory; None holds them.

        Returns:
            By ``'scores'`` and, where the model scores its masks, ``'mask_scores'``, the
            detections with that score; the other arrays are shared.
        """
        columns = GatheredResults(masks, codes_file)
        for record in self.records():
            columns.add(record)
        image = np.searchsorted(ground_truth.image_ids, self.image_ids).astype(np.int32)
        return columns.results(image, own_mask_scores=self.has_mask_scores)
