"""What makes a batch sampler resumable: it can begin an epoch behind its first batches."""

from collections.abc import Iterator
from itertools import islice


class BatchSkipping:
    """Mixin of batch sampler that can leave out the batches a run has already seen.

    The batches are drawn and dropped before anything is loaded, so what follows equals an
    uninterrupted iteration for every sampler and every way of grouping.
    """

    _num_skipped = 0

    def skip_batches(self, num_batches: int) -> None:
        """Let the next iteration, and only that one, begin behind ``num_batches`` batches.

        The length stays that of the whole epoch, from which mmengine computes the schedule.
        """
        self._num_skipped = num_batches

    def _without_skipped(self, batches: Iterator[list], stop: int | None = None) -> Iterator[list]:
        # A generator: a loader with workers makes two iterators and advances only the second.
        start, self._num_skipped = self._num_skipped, 0
        yield from islice(batches, start, stop)
