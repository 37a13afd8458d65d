import json

import numpy as np
import pytest

from plugins.annotations import (
    COCO_LT_BIN_LIMITS,
    bin_names,
    count_categories,
    frequency_group,
    image_categories,
    instance_bin,
    read_annotations,
)


def _table(shared, name: str) -> list[dict]:
    return json.loads((shared / 'lvis' / name).read_text())['categories']


@pytest.mark.parametrize(
    ('images', 'group'), [(0, 'r'), (10, 'r'), (11, 'c'), (100, 'c'), (101, 'f'), (10**6, 'f')]
)
def test_group_limits_are_inclusive(images, group):
    assert frequency_group(images) == group


def test_group_limits_can_be_set_and_must_be_in_order():
    assert frequency_group(3, rare_max=2, common_max=3) == 'c'
    with pytest.raises(ValueError, match='rare_max=5 and common_max=4'):
        frequency_group(1, rare_max=5, common_max=4)


@pytest.mark.parametrize('name', ['lvis_v1_category_counts.json', 'lvis_v0_5_category_counts.json'])
def test_groups_agree_with_every_lvis_category(shared, name):
    for row in _table(shared, name):
        assert frequency_group(row['image_count']) == row['frequency'], row


@pytest.mark.parametrize(
    ('name', 'limits', 'sizes'),
    [
        ('lvis_v1_category_counts.json', (10, 100, 1000), [200, 412, 334, 257]),
        ('lvis_v0_5_category_counts.json', (10, 100, 1000), [294, 453, 302, 181]),
        ('coco_lt_category_counts.json', COCO_LT_BIN_LIMITS, [4, 24, 32, 20]),
    ],
)
def test_bin_sizes_of_the_published_sets(shared, name, limits, sizes):
    counts = np.array([row['instance_count'] for row in _table(shared, name)])
    assert np.bincount(instance_bin(counts, limits)).tolist() == sizes


def test_bins_are_half_open_and_skip_empty_categories():
    assert instance_bin(np.array([0, 1, 9, 10, 999, 1000])).tolist() == [-1, 0, 0, 1, 2, 3]
    assert bin_names() == ['[1,10)', '[10,100)', '[100,1000)', '[1000,inf)']


def test_counts_equal_a_loop_over_real_annotations(shared):
    for name in ('data/taco/annotations.json', 'data/coco_small/annotations/instances_train.json'):
        data = read_annotations(shared / name)
        counts = count_categories(data)
        real = [record for record in data['annotations'] if not record['iscrowd']]
        for category, images, instances in zip(*counts, strict=True):
            mine = [record for record in real if record['category_id'] == category]
            assert instances == len(mine)
            assert images == len({record['image_id'] for record in mine})


def test_rows_of_categories_follow_image_order_and_are_distinct(lvis_data):
    lvis_data['categories'].reverse()
    rows = image_categories(lvis_data)
    assert rows.pointer.tolist() == [0, 2, 4, 4]
    assert rows.category.tolist() == [0, 1, 1, 2]


def test_crowds_and_strays_are_not_counted(lvis_data):
    lvis_data['annotations'][0]['iscrowd'] = 1
    lvis_data['annotations'][2]['image_id'] = 99
    lvis_data['annotations'][4]['category_id'] = 99
    counts = count_categories(lvis_data)
    assert counts.category_id.tolist() == [5, 7, 9]
    assert counts.instance_count.tolist() == [1, 1, 0]
    assert counts.image_count.tolist() == [1, 1, 0]
