import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plugins.structures.paste_axes import divide, new_axis

SIZE = 20


def divided(start, end, num_points):
    """The axis and the number of its points."""
    axis = new_axis(SIZE)
    return axis, divide(axis, np.float32(start), np.float32(end), num_points)


@given(st.floats(-30, 30, width=32), st.floats(0, 50, width=32), st.integers(1, 9))
def test_every_pixel_lies_between_the_points_around_its_centre(start, length, num_points):
    end = np.float32(start) + np.float32(length)
    assume(end - start > 1e-3)
    axis, count = divided(start, end, num_points)
    shown = [p for p in range(SIZE) if np.floor(start) - 1 <= p < np.ceil(end) + 1]
    pixels = [p for i in range(count - 1) for p in range(axis.starts[i], axis.starts[i + 1])]
    assert pixels == shown
    for i in range(count - 1):
        for pixel in range(axis.starts[i], axis.starts[i + 1]):
            assert axis.points[i + 1] == axis.points[i] + 1
            exact = (pixel + 0.5 - start) / (float(end) - start) * num_points - 0.5
            # Beyond the first points around the grid there are but zeros.
            found = np.clip(axis.points[i] + axis.shares[pixel], -1, num_points)
            assert found == pytest.approx(np.clip(exact, -1, num_points), abs=1e-2)
            assert 0 <= axis.shares[pixel] <= 1


@pytest.mark.parametrize(
    'box', [(-9, -5), (25, 30), (8, 7), (np.nan, 5), (5, np.nan), (-np.inf, 5), (5, np.inf)]
)
def test_box_that_cannot_be_seen_has_no_points(box):
    assert divided(*box, 7)[1] == 0


def test_box_without_extent_is_its_middle_except_where_it_meets_a_centre():
    axis, count = divided(5.5, 5.5, 8)
    assert axis.starts[0] == 4
    assert axis.starts[count - 1] == 7
    assert axis.cells[[4, 6]].tolist() == [3, 3]
    assert axis.shares[[4, 6]].tolist() == [0.5, 0.5]
    assert np.isnan(axis.shares[5])
