"""A class of problem found in a data set, with its count and the first places it occurs at."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SHOWN = 3
"""How many places a problem names before it says how many more there are."""


@dataclass(frozen=True)
class Problem:
    """One class of problem.

    Attributes:
        code: Short stable name, such as ``odd-polygon``.
        message: What is wrong, beginning with the count, without places.
        count: How many records are concerned, >= 1.
        examples: The first places, such as ``annotation 17 (image 3)``; at most `SHOWN`.
        fatal: Whether training or testing on the file would fail or silently go wrong.
        remedy: What the user can do.
    """

    code: str
    message: str
    count: int
    examples: tuple[str, ...]
    fatal: bool
    remedy: str

    def __str__(self) -> str:
        places = ', '.join(self.examples)
        if self.count > len(self.examples):
            places += f' and {self.count - len(self.examples):,} more'
        text = f'{self.message}: {places}' if places else self.message
        return f'{text}; {self.remedy}' if self.remedy else text


def problem(
    code: str,
    places: Iterable[str],
    noun: str,
    what: str,
    *,
    count: int | None = None,
    fatal: bool = True,
    remedy: str = '',
) -> Problem | None:
    """Build a `Problem` from the places it occurs at, or None when there are none.

    Args:
        code: Short stable name.
        places: Descriptions of the places; only the first `SHOWN` are kept.
        noun: What is counted, singular, such as ``annotation``.
        what: The rest of the sentence, such as ``without a box``.
        count: Number of places if `places` holds only the first of them.
        fatal: Whether a training run must stop.
        remedy: What to do.

    Returns:
        The problem, or None for a count of zero.
    """
    places = list(places)
    count = len(places) if count is None else count
    if count == 0:
        return None
    plural = noun if count == 1 else _plural(noun)
    return Problem(code, f'{count:,} {plural} {what}', count, tuple(places[:SHOWN]), fatal, remedy)


def describe(annotation: dict) -> str:
    """Words for an annotation, such as ``annotation 17 (image 3)``."""
    return f'annotation {annotation["id"]} (image {annotation["image_id"]})'


def annotation_problem(
    annotations: list[dict],
    mask: np.ndarray,
    code: str,
    what: str,
    remedy: str,
    *,
    fatal: bool = True,
) -> Problem | None:
    """Build the problem of the annotations a mask selects.

    Args:
        annotations: N records.
        mask: bool (N,), which of them are concerned.
        code: Short stable name.
        what: The rest of the sentence after the count.
        remedy: What to do.
        fatal: Whether a training run must stop.

    Returns:
        The problem, or None if the mask selects nothing.
    """
    selected = np.flatnonzero(mask)
    first = [describe(annotations[position]) for position in selected[:SHOWN]]
    return problem(code, first, 'annotation', what, count=len(selected), remedy=remedy, fatal=fatal)


def _plural(noun: str) -> str:
    if noun.endswith('y'):
        return f'{noun[:-1]}ies'
    return f'{noun}es' if noun.endswith(('s', 'x')) else f'{noun}s'
