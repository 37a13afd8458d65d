import numpy as np
import pycocotools.mask as mask_util
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plugins.evaluation.engine import Results, ResultsError
from plugins.evaluation.engine.codes import (
    BROKEN,
    codes_of,
    decode,
    extent,
    most_intervals,
    pixels,
    require_complete,
)
from tests.evaluation.engine.plain_records import intervals


def results_with(codes, *, escaped=False):
    texts = [code['counts'] for code in codes]
    if escaped:
        texts = [text.replace(b'\\', b'\\\\') for text in texts]
    length = np.array([len(text) for text in texts], np.int32)
    sizes = np.array([code['size'] for code in codes], np.int32)
    n = len(codes)
    return Results(
        image=np.zeros(n, np.int32),
        category=np.zeros(n, np.int32),
        score=np.zeros(n),
        rle=np.frombuffer(b''.join(texts), np.uint8),
        rle_offset=np.cumsum(length, dtype=np.int64) - length,
        rle_length=length,
        rle_height=sizes[:, 0].copy(),
        rle_width=sizes[:, 1].copy(),
        escaped=escaped,
    )


def decoded(results, index):
    codes = codes_of(results)
    room = most_intervals(codes)
    start, end = np.empty(room, np.int32), np.empty(room, np.int32)
    n = decode(codes, index, start, end)
    return n, start[: max(n, 0)], end[: max(n, 0)]


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask, np.uint8))


MASKS = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.bool_, shape)
)


@settings(deadline=None)
@given(st.lists(MASKS, min_size=1, max_size=4), st.booleans())
def test_intervals_and_pixels_equal_pycocotools(masks, escaped):
    codes = [encode(mask) for mask in masks]
    results = results_with(codes, escaped=escaped)
    for index, (mask, code) in enumerate(zip(masks, codes, strict=True)):
        n, start, end = decoded(results, index)
        expected_start, expected_end = intervals(code)
        np.testing.assert_array_equal(start, expected_start)
        np.testing.assert_array_equal(end, expected_end)
        assert pixels(codes_of(results), index) == mask.sum()
        box = np.empty(4, np.int32)
        extent(start, end, n, mask.shape[0], box)
        x, y, width, height = mask_util.toBbox(code)
        if mask.any():
            assert box.tolist() == [x, x + width - 1, y, y + height - 1]
        else:
            assert box.tolist() == [0, -1, 0, -1]


@settings(deadline=None)
@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=12), st.booleans())
def test_runs_of_any_length_are_decoded(runs, escaped):
    # Numbers of up to five characters, runs of no pixels, and characters that JSON escapes.
    code = mask_util.frPyObjects({'size': [sum(runs), 1], 'counts': runs}, sum(runs), 1)
    _, start, end = decoded(results_with([code], escaped=escaped), 0)
    bounds = np.cumsum([0, *runs])
    expected = [(a, b) for a, b in zip(bounds[1::2], bounds[2::2], strict=False) if a < b]
    joined = []
    for a, b in expected:
        if joined and joined[-1][1] == a:
            joined[-1] = (joined[-1][0], b)
        else:
            joined.append((a, b))
    assert list(zip(start, end, strict=True)) == joined
    assert pixels(codes_of(results_with([code], escaped=escaped)), 0) == sum(runs[1::2])


def test_an_escaped_backslash_is_one_character():
    # 44 + 48 is the backslash; a run of 12 + 32 * k begins with it.
    code = mask_util.frPyObjects({'size': [100, 1], 'counts': [44, 56]}, 100, 1)
    assert b'\\' in code['counts']
    for escaped in (False, True):
        n, start, end = decoded(results_with([code], escaped=escaped), 0)
        assert (n, start.tolist(), end.tolist()) == (1, [44], [100])


@pytest.mark.parametrize(
    'counts',
    [
        b'',
        b'h',  # ends inside a number
        b'\x02',  # not a character of the code
        b'\xff\xff',
        b'9',  # 9 of 16 pixels
        b'`0' + b'1',  # 17 of 16 pixels
        b'5O0',  # a negative run
        b'o' * 9 + b'0',  # a number of more than 32 bits
    ],
)
def test_a_broken_code_is_an_error_that_names_the_result(counts):
    good = encode(np.ones((4, 4)))
    results = results_with([good, {'size': [4, 4], 'counts': counts}])
    n, _, _ = decoded(results, 1)
    assert n == BROKEN
    assert pixels(codes_of(results), 1) == BROKEN
    with pytest.raises(ResultsError, match=r'results: the mask of result 1 .* 4 x 4'):
        require_complete(BROKEN - 1, results)
    require_complete(0, results)


def test_results_without_masks_say_so():
    results = Results(
        image=np.zeros(0, np.int32), category=np.zeros(0, np.int32), score=np.zeros(0)
    )
    with pytest.raises(ResultsError, match='only boxes'):
        codes_of(results)
