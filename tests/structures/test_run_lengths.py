import numpy as np
import pycocotools.mask as coco_mask
from hypothesis import given
from hypothesis import strategies as st

from plugins.structures.run_lengths import LONGEST_NUMBER, measure_mask, write_code


def written(borders):
    """Code of a mask."""
    borders = np.array(borders, np.int32)
    text = np.zeros(LONGEST_NUMBER * len(borders) + 3, np.uint8)
    end = write_code(borders, len(borders), text, 3)
    return text[3:end].tobytes()


def read(code):
    """Runs of a code; pycocotools writes beyond its memory where a number has seven characters."""
    runs, number, shift = [], 0, 0
    for symbol in code:
        number |= (symbol - 48 & 31) << shift
        shift += 5
        if not symbol - 48 & 32:
            number -= (symbol - 48 & 16) * 2 << shift - 5
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    return runs


@given(st.lists(st.integers(1, 2**31 - 2), max_size=30, unique=True), st.booleans())
def test_runs_of_all_lengths_can_be_read_again(places, starts_inside):
    borders = [0] * starts_inside + [*sorted(places), 2**31 - 1]
    assert read(written(borders)) == np.diff([0, *borders]).tolist()


@given(st.lists(st.integers(1, 2**28 - 1), max_size=30, unique=True), st.booleans())
def test_codes_are_those_of_pycocotools(places, starts_inside):
    borders = [0] * starts_inside + [*sorted(places), 2**28]
    runs = np.diff([0, *borders]).tolist()
    code = coco_mask.frPyObjects(dict(size=[1, 2**28], counts=runs), 1, 2**28)
    assert written(borders) == code['counts']


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**36 - 1))
def test_mask_of_any_shape_is_measured_and_written(height, width, pixels):
    mask = np.array([pixels >> i & 1 for i in range(height * width)], np.uint8)
    mask = mask.reshape(width, height).T
    changes = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0))
    borders = np.array([*changes, height * width], np.int32)
    box = np.empty(4, np.int32)
    assert measure_mask(borders, len(borders), height, box) == mask.sum()
    rows, columns = np.nonzero(mask)
    expected = (
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0] * 4
    )
    assert box.tolist() == expected
    assert written(borders) == coco_mask.encode(np.asfortranarray(mask))['counts']
