import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from plugins.annotations.rle import rle_fault, run_lengths


def _runs_by_hand(mask: np.ndarray) -> list[int]:
    runs, value = [0], 0
    for pixel in mask.ravel(order='F'):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 90)), elements=st.integers(0, 1))
)
def test_runs_of_compressed_masks_equal_counting_pixels(mask):
    packed = coco_mask.encode(np.asfortranarray(mask))
    text = packed['counts'].decode()
    assert run_lengths(text).tolist() == _runs_by_hand(mask)
    assert rle_fault({'size': list(mask.shape), 'counts': text}, *mask.shape) is None


def test_large_runs_are_decoded():
    mask = np.zeros((3000, 4000), np.uint8)
    mask[1500:, 1000:1002] = 1
    text = coco_mask.encode(np.asfortranarray(mask))['counts'].decode()
    assert run_lengths(text).tolist() == [3_001_500, 1500, 1500, 1500, 8_994_000]


@given(st.text(max_size=30))
def test_any_text_is_either_a_mask_of_the_right_size_or_has_a_fault(text):
    if rle_fault({'size': [6, 5], 'counts': text}, 6, 5) is None:
        runs = run_lengths(text)
        assert runs.sum() == 30
        assert (runs >= 0).all()


@pytest.mark.parametrize(
    ('segmentation', 'reason'),
    [
        ({'size': [5, 6], 'counts': [30]}, 'size'),
        ({'size': [6, 5], 'counts': [29]}, 'runs cover 29 of 30'),
        ({'size': [6, 5], 'counts': [31, -1]}, 'whole numbers'),
        ({'size': [6, 5], 'counts': [30.0]}, 'whole numbers'),
        ({'size': [6, 5], 'counts': 'P'}, 'complete'),
        ({'size': [6, 5], 'counts': None}, 'no counts'),
    ],
)
def test_faults_say_why(segmentation, reason):
    assert reason in rle_fault(segmentation, 6, 5)
