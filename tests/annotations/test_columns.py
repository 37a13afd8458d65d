import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plugins.annotations.columns import positions, to_columns


@given(st.lists(st.integers(-5, 5)), st.lists(st.integers(-5, 5)))
def test_positions_are_the_first_occurrence(wanted, ids):
    found = positions(np.array(wanted, np.int64), np.array(ids, np.int64))
    assert found.tolist() == [ids.index(w) if w in ids else -1 for w in wanted]


def test_one_bad_box_does_not_spoil_the_others(lvis_data):
    lvis_data['annotations'][1]['bbox'] = [1, 2]
    boxes = to_columns(lvis_data).boxes_xywh
    assert np.isnan(boxes).all(1).tolist() == [False, True, False, False, False]
    assert boxes[0].tolist() == [10, 10, 20, 20]


def test_columns_of_a_file_without_annotations(lvis_data):
    lvis_data['annotations'] = []
    columns = to_columns(lvis_data)
    assert columns.boxes_xywh.shape == (0, 4)
    assert len(columns.image) == 0
