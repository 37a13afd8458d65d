"""The lists of mixed images against a table of states."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.transforms.federated_lists import (
    FederatedLists,
    add_objects,
    merge_images,
    read_lists,
    remove_objects,
    write_lists,
)

P, NE, N, U = 'exhaustive', 'not exhaustive', 'negative', 'unknown'
STATES = (P, NE, N, U)


def image_of(states: dict[int, str], annotated_anyway: set[int] = frozenset()):
    """Lists and labels of an image whose categories have these states."""
    lists = FederatedLists(
        frozenset(c for c, state in states.items() if state == N),
        frozenset(c for c, state in states.items() if state == NE),
    )
    return lists, {c for c, state in states.items() if state == P} | set(annotated_anyway)


def state_of(label: int, lists: FederatedLists, present: set[int]) -> str:
    if label in lists.negative:
        return N
    if label in lists.not_exhaustive:
        return NE
    return P if label in present else U


@pytest.mark.parametrize(('before', 'after'), [(N, P), (P, P), (NE, NE), (U, NE)])
def test_pasting_follows_the_table(before, after):
    lists, present = image_of({3: before})
    lists = add_objects(lists, present, [3])
    assert state_of(3, lists, present | {3}) == after


def test_pasting_leaves_other_categories_alone():
    lists, present = image_of({0: P, 1: NE, 2: N, 3: U, 4: N})
    after = add_objects(lists, present, [4])
    assert [state_of(c, after, present) for c in range(4)] == [P, NE, N, U]


@pytest.mark.parametrize('before', [P, NE])
@pytest.mark.parametrize('others_kept', [False, True])
@pytest.mark.parametrize('hidden', [False, True])
@pytest.mark.parametrize('remnant', [False, True])
def test_removal_follows_the_table(before, others_kept, hidden, remnant):
    lists, _ = image_of({5: before})
    kept = {5} if others_kept else set()
    after = remove_objects(lists, kept, [5] * hidden, [5] * remnant)
    if before == NE or remnant:
        expected = NE
    elif others_kept:
        expected = P
    else:
        expected = N if hidden else U
    assert state_of(5, after, kept) == expected


def merged_state(states: tuple[str, ...], annotated: tuple[bool, ...]) -> str:
    """Longtail rule, read off word by word: one category, its state in every part."""
    if all(state == N for state in states):
        return N
    if any(annotated):
        return P if all(state in (P, N) for state in states) else NE
    return U


def test_mosaic_of_three_agrees_with_the_table_in_every_combination():
    kinds = [(P, True), (NE, True), (NE, False), (N, False), (U, False)]
    for parts in itertools.product(kinds, repeat=3):
        states, annotated = zip(*parts, strict=True)
        images = [
            image_of({0: state}, {0} if is_annotated else set()) for state, is_annotated in parts
        ]
        merged = merge_images(images)
        present = {0} if any(annotated) else set()
        assert state_of(0, merged, present) == merged_state(states, annotated), parts


labels = st.sets(st.integers(0, 5))


@given(labels, labels, labels, labels, labels)
def test_negative_and_present_labels_stay_disjoint(negative, not_exhaustive, kept, gone, pasted):
    start = FederatedLists(frozenset(negative - kept - gone), frozenset(not_exhaustive - negative))
    removed = remove_objects(start, kept, gone, gone & pasted)
    assert not removed.negative & (kept | removed.not_exhaustive)
    added = add_objects(removed, kept, pasted)
    assert not added.negative & (kept | pasted | added.not_exhaustive)
    merged = merge_images([(start, kept), (added, kept | pasted)])
    assert not merged.negative & (kept | pasted)
    assert merged.not_exhaustive <= kept | pasted


def test_samples_without_lists_have_none():
    assert read_lists({'img': None}) is None


def test_written_lists_are_sorted_without_duplicates_and_new():
    shared = [7, 2, 2]
    results = dict(neg_labels=shared)
    write_lists(results, read_lists(results))
    assert results == dict(neg_labels=[2, 7], not_exhaustive_labels=[])
    assert shared == [7, 2, 2]
