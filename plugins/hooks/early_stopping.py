"""When a series of scores has stopped improving: the rule of early stopping, without a runner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plugins.errors import UserError

RULES = ('greater', 'less')


@dataclass
class Plateau:
    """What is known of a series of scores: the best, when it came, and how many came since.

    A score is better than the best if it exceeds it (by the rule ``'less'``: falls below it) by
    more than ``min_delta``. Anything else, an equal or an undefined score included, is one without
    an improvement. The best rises with improvements only, so gains too small to count add up.

    Args:
        min_delta: 0 or more.
        rule: ``'greater'`` or ``'less'``.
        best: The best score so far, None before the first.
        best_at: Epoch or iteration of the best score.
        bad_count: Scores without an improvement since.
    """

    min_delta: float
    rule: str = 'greater'
    best: float | None = None
    best_at: int | None = None
    bad_count: int = 0

    def add(self, score: float, at: int) -> bool:
        """Take the next score; say whether it is an improvement."""
        if is_undefined(score) or not self._is_better(score):
            self.bad_count += 1
            return False
        self.best, self.best_at, self.bad_count = score, at, 0
        return True

    def _is_better(self, score: float) -> bool:
        if self.best is None:
            return True
        if self.rule == 'greater':
            return score > self.best + self.min_delta
        return score < self.best - self.min_delta

    def state(self) -> dict[str, float | int | None]:
        """Return what a checkpoint must keep."""
        return dict(best=self.best, best_at=self.best_at, bad_count=self.bad_count)

    def resume(self, state: Mapping[str, float | int | None]) -> None:
        """Go on from a state that a checkpoint kept."""
        self.best, self.best_at = state['best'], state['best_at']
        self.bad_count = state['bad_count']


def is_undefined(score: float) -> bool:
    """Say whether a score is no number, or -1, by which AP without ground truth is reported."""
    return not math.isfinite(score) or score == -1


def mean_score(metrics: Mapping[str, float], keys: Sequence[str]) -> float:
    """Return the mean of several metrics, NaN if one of them is undefined.

    Args:
        metrics: Values by name.
        keys: One name or more.

    Raises:
        UserError: A key is not among the metrics.
    """
    for key in keys:
        if key not in metrics:
            names = ', '.join(sorted(metrics)) or 'none at all'
            raise UserError(
                f'PatientEarlyStoppingHook: monitor names {key}, which the validation does not '
                f'report; it reports {names}'
            )
    values = [float(metrics[key]) for key in keys]
    if any(is_undefined(value) for value in values):
        return math.nan
    return math.fsum(values) / len(values)
