"""Training instances per category from each kind of file."""

import json

import pytest

from plugins.annotations import AnnotationError
from plugins.evaluation.engine.train_counts import read_train_counts

IDS, NAMES = [3, 12], ['fork', 'spoon']
SOURCES = {
    'annotations': {
        'images': [],
        'annotations': [
            *({'id': k, 'category_id': 12, 'iscrowd': int(k > 4)} for k in range(1, 8)),
            {'id': 9, 'category_id': 99},
        ],
        'categories': [{'id': 12, 'instance_count': 77}, {'id': 3}],
    },
    'categories by id': {
        'categories': [{'id': 12, 'instance_count': 4}, {'id': 3, 'instance_count': 0}]
    },
    'categories by name': {
        'categories': [
            {'label': 1, 'name': 'spoon', 'instance_count': 4},
            {'label': 2, 'name': 'fork', 'instance_count': 0},
        ]
    },
    'counts': {'source': 'somewhere', 'instance_count': {'3': 0, '12': 4, '40': 8}},
    'plain': {'3': 0, '12': 4},
}  # fmt: skip


@pytest.mark.parametrize('source', SOURCES.values(), ids=SOURCES)
def test_counts_are_read_from_file_and_memory(tmp_path, source):
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps(source))
    for one in (path, source):
        assert read_train_counts(one, IDS, NAMES).tolist() == [0, 4]


def test_published_tables_are_read(shared):
    for name, category, label, count in (
        ('lvis/lvis_v1_category_counts.json', 1, 'aerosol_can', 109),
        ('golden/eval/lvis_v05_train_counts.json', 4, 'x', 1978),
        ('lvis/coco_lt_category_counts.json', 999, 'person', 262465),
    ):
        assert read_train_counts(shared / name, [category], [label]).tolist() == [count]


@pytest.mark.parametrize(
    'content, message',
    [
        ('{"3": 1}', r'no count for category 12 \(spoon\)'),
        ('{"3": 1, "12": -2}', 'negative'),
        ('[1, 2]', 'not a file of training counts'),
        ('{"3": "many"}', 'not a file of training counts'),
        ('{', 'not a file of training counts'),
        ('', 'empty'),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / 'counts.json'
    path.write_text(content)
    with pytest.raises(AnnotationError, match=message) as caught:
        read_train_counts(path, IDS, NAMES)
    assert str(caught.value).startswith(str(path))
