"""What one process of a test has detected so far."""

from collections.abc import Iterator

import numpy as np

from plugins.evaluation.stream.image_record import ImageRecord, decode, encode
from plugins.evaluation.stream.selection import Selection
from plugins.evaluation.stream.shards import FileShard, MemoryShard

_SLACK = 100_000  # detections; below, rewriting a shard saves nothing worth having


class DetectionStore:
    """Takes the detections of image after image; what cannot matter any more is dropped.

    With a selection the shard never holds more than about twice what can matter: when it does, it
    is written again without the rest.

    Args:
        shard: Where they go.
        selection: Says what matters; None keeps everything.
        slack: Detections beyond the double of what can matter before the shard is written again.
    """

    def __init__(
        self,
        shard: FileShard | MemoryShard,
        selection: Selection | None = None,
        *,
        slack: int = _SLACK,
    ) -> None:
        self.shard = shard
        self.image_ids: set[int] = set()
        self._selection = selection
        self._slack = slack
        self._num_stored = 0

    def add(self, record: ImageRecord) -> None:
        """Store an image; one that is there already (samplers repeat some) is ignored."""
        if record.img_id in self.image_ids:
            return
        self.image_ids.add(record.img_id)
        if self._selection is not None:
            record = record.select(self._selection.offer(record))
        self.shard.append(encode(record))
        self._num_stored += len(record)
        if self._num_stored > self._limit():
            self._drop_the_rest()

    def _limit(self) -> float:
        return np.inf if self._selection is None else 2 * len(self._selection) + self._slack

    def _drop_the_rest(self) -> None:
        self._num_stored = 0
        self.shard.rewrite(self._kept_payloads())

    def _kept_payloads(self) -> Iterator[bytes]:
        for _, payload in self.shard.scan():
            record = decode(payload)
            keep = self._selection.keep(record)
            self._num_stored += np.count_nonzero(keep)
            yield payload if keep.all() else encode(record.select(keep))
