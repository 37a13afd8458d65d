import json

import numpy as np
import pytest

from plugins.annotations import AnnotationError
from plugins.annotations.counts_file import read_counts_file
from tools.data import stats


def _annotations(tmp_path):
    box = dict(bbox=[0, 0, 5, 5], area=25, segmentation=[[0, 0, 5, 0, 5, 5, 0, 5]])
    members = [(1, 9), (1, 9), (1, 2), (3, 2), (3, 2, 1)]
    data = dict(
        images=[dict(id=i, width=10, height=10, file_name=f'{i}.jpg') for i in (1, 2, 3)],
        categories=[dict(id=i, name=str(i)) for i in (9, 2, 5)],
        annotations=[
            dict(id=n, image_id=m[0], category_id=m[1], iscrowd=int(len(m) == 3), **box)
            for n, m in enumerate(members, 1)
        ],
    )
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(data))
    return path


def test_annotations_and_their_statistics_give_the_same_counts(tmp_path):
    path = _annotations(tmp_path)
    counts = read_counts_file(path)
    # In increasing id: 2, 5, 9. The crowd region is no instance.
    assert counts.instance_count.tolist() == [2, 0, 2]
    assert counts.image_count.tolist() == [2, 0, 1] and counts.num_images == 2
    stats.main([str(path), '--json', str(tmp_path / 'stats.json')])
    again = read_counts_file(tmp_path / 'stats.json')
    assert all(np.array_equal(a, b) for a, b in zip(counts, again, strict=True))


def test_published_counts_are_a_list_without_a_number_of_images(shared):
    counts = read_counts_file(shared / 'lvis' / 'lvis_v1_category_counts.json')
    assert len(counts.image_count) == 1203 and counts.num_images == -1
    assert int(counts.instance_count.sum()) == 1_270_141


@pytest.mark.parametrize(
    'content',
    [
        '{"categories": [{"id": 1, "instance_count": NaN, "image_count": 2}]}',
        '{"categories": [{"id": 1, "instance_count": 3}]}',
        '[{"id": 1, "instance_count": -3, "image_count": 1}]',
        '{"images": []}',
        '[1, 2]',
        '[{"id": 1, "instance_count": 3, "image_count": 1}, '
        '{"id": 1, "instance_count": 2, "image_count": 1}]',
        '{"categ',
    ],
)
def test_anything_else_is_one_error_that_names_the_file(tmp_path, content):
    path = tmp_path / 'bad.json'
    path.write_text(content)
    with pytest.raises(AnnotationError, match=r'bad\.json'):
        read_counts_file(path)
