import numpy as np
import pytest

from plugins.annotations import long_tail_statistics, read_annotations, summary


def test_statistics_of_a_small_file(lvis_data):
    found = long_tail_statistics(lvis_data, threshold=0.75, rare_max=1, common_max=1)
    assert found['totals'] == {
        'images': 3,
        'images_without_annotations': 1,
        'instances': 5,
        'categories': 3,
        'empty_categories': 0,
        'groups': {'r': 2, 'c': 0, 'f': 1},
        'bins': {'[1,10)': 3, '[10,100)': 0, '[100,1000)': 0, '[1000,inf)': 0},
    }
    assert [row['name'] for row in found['categories']] == ['spoon', 'fork', 'ladle']
    np.testing.assert_allclose(found['image_factors'], [1.5, 1.5, 1.0])
    assert found['repeat_factors']['epoch_length'] == pytest.approx(4.0)
    assert found['repeat_factors']['images_above_one'] == 2


def test_coco_small_has_the_documented_shape(shared):
    data = read_annotations(shared / 'data/coco_small/annotations/instances_train.json')
    found = long_tail_statistics(data)
    counts = [row['image_count'] for row in found['categories']]
    assert sum(count <= 10 for count in counts) == 56
    assert sum(count >= 11 for count in counts) == 24
    assert found['totals']['instances'] == 2244 - 25


def test_summary_counts_groups_where_the_file_has_none(lvis_data, coco_data):
    text = '3 images, 5 annotations, 3 categories (3/0/0 r/c/f)'
    assert summary(coco_data) == text
