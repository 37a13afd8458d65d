"""What is known about each category of an image, kept right when images are mixed.

LVIS is annotated federatedly. In one image a category is *exhaustive* (annotated, all of it), *not
exhaustive* (``not_exhaustive_labels``: there may be more than is annotated), *negative*
(``neg_labels``: verified absent) or *unknown* (in neither list and not annotated). Categories here
are labels, 0-based.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

KEYS = ('neg_labels', 'not_exhaustive_labels')


class FederatedLists(NamedTuple):
    """The two lists of an image.

    Attributes:
        negative: Labels verified absent.
        not_exhaustive: Labels of which not every instance is annotated.
    """

    negative: frozenset[int]
    not_exhaustive: frozenset[int]


def read_lists(results: dict) -> FederatedLists | None:
    """The lists of a sample; None if it carries none, as data without federated annotation."""
    if not any(key in results for key in KEYS):
        return None
    return FederatedLists(*(frozenset(map(int, results.get(key, ()))) for key in KEYS))


def write_lists(results: dict, lists: FederatedLists) -> None:
    """Put the lists into a sample, sorted and as new objects: others may share the old ones."""
    for key, labels in zip(KEYS, lists, strict=True):
        results[key] = sorted(labels)


def remove_objects(
    lists: FederatedLists, kept: Iterable[int], hidden: Iterable[int], remnants: Iterable[int]
) -> FederatedLists:
    """The lists after objects lost their annotation.

    Something visible without annotation makes its category not exhaustive. A category that was
    exhaustive and of which no pixel is left is now absent for certain.

    Args:
        lists: Before.
        kept: Labels of the objects that are still annotated, ignored regions among them.
        hidden: Labels of the removed objects of which no pixel is left.
        remnants: Labels of the removed objects of which something can be seen.
    """
    kept = frozenset(kept)
    not_exhaustive = lists.not_exhaustive | frozenset(remnants)
    absent = frozenset(hidden) - kept - not_exhaustive
    return FederatedLists((lists.negative | absent) - kept - not_exhaustive, not_exhaustive)


def add_objects(
    lists: FederatedLists, present: Iterable[int], pasted: Iterable[int]
) -> FederatedLists:
    """The lists after objects of another image were pasted.

    Only their pixels move, so what is known about the other image does not matter. A category that
    was verified absent is now exhaustive; one that was unknown may have more instances.

    Args:
        lists: Before.
        present: Labels annotated before.
        pasted: Labels of the pasted objects.
    """
    pasted = frozenset(pasted)
    unknown = pasted - frozenset(present) - lists.negative
    return FederatedLists(lists.negative - pasted, lists.not_exhaustive | unknown)


def merge_images(images: Sequence[tuple[FederatedLists, Iterable[int]]]) -> FederatedLists:
    """The lists of an image that is put together from several.

    A category is absent if it is absent from every part. An annotated one is exhaustive if it is
    exhaustive in or absent from every part. Any other is unknown.

    Args:
        images: For each part its lists and the labels annotated in it.
    """
    parts = [(lists, frozenset(present)) for lists, present in images]
    annotated = frozenset().union(*(present for _, present in parts))
    negative = frozenset.intersection(*(lists.negative for lists, _ in parts))
    certain = frozenset.intersection(
        *(lists.negative | (present - lists.not_exhaustive) for lists, present in parts)
    )
    return FederatedLists(negative - annotated, annotated - certain)
