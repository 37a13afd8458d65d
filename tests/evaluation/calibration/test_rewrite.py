import gzip
import json

import numpy as np
import pytest

from plugins.evaluation.calibration import rewrite_scores

RECORDS = [
    {'image_id': 7, 'category_id': 3, 'score': 0.5, 'segmentation': {'counts': 'a\\b`'}},
    {'score': 1, 'bbox': [1, 2.50, 3, 4], 'category_id': 12, 'image_id': 2**40, 'extra': None},
]


def shifted(category, score):
    assert (category.dtype, score.dtype) == (np.int64, np.float64)
    return score / category


@pytest.mark.parametrize('zipped', [False, True])
def test_only_scores_change(tmp_path, zipped):
    source = tmp_path / 'results.json'
    text = json.dumps(RECORDS).encode()
    source.write_bytes(gzip.compress(text) if zipped else text)
    target = tmp_path / 'new' / ('out.json.gz' if zipped else 'out.json')
    seen = []
    assert rewrite_scores(source, target, shifted, seen.append) == 2
    data = target.read_bytes()
    expected = [dict(RECORDS[0], score=0.5 / 3), dict(RECORDS[1], score=1 / 12)]
    assert json.loads(gzip.decompress(data) if zipped else data) == expected
    assert seen == [2]
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]


def test_many_records_are_written_in_chunks(tmp_path):
    source, target = tmp_path / 'in.json', tmp_path / 'out.json'
    records = [{'category_id': 1 + i % 9, 'score': i / 50_000} for i in range(50_000)]
    source.write_text(json.dumps(records))
    assert rewrite_scores(source, target, lambda category, score: 1 - score) == 50_000
    written = json.loads(target.read_text())
    assert [record['score'] for record in written] == [1 - record['score'] for record in records]
    assert written[40_001]['category_id'] == records[40_001]['category_id']


@pytest.mark.parametrize('name', ['out.json', 'out.json.gz'])
def test_an_interrupted_run_leaves_the_file_as_it_was(tmp_path, name):
    source, target = tmp_path / 'in.json', tmp_path / name
    source.write_text(json.dumps(RECORDS))
    target.write_bytes(b'before')

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite_scores(source, target, shifted, interrupt)
    assert target.read_bytes() == b'before'
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(['in.json', name])


def test_an_empty_list_stays_an_empty_list(tmp_path):
    source, target = tmp_path / 'in.json', tmp_path / 'out.json'
    source.write_text('[]')
    assert rewrite_scores(source, target, shifted) == 0
    assert json.loads(target.read_text()) == []


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'is not a JSON list of results'),
        ('[{"category_id": 1, "score"', 'is not a JSON list of results'),
        ('{"a": 1}', 'is not a JSON list of results'),
        ('[{"category_id": 1, "score": 0.5}, {"score": 1}]', "result 1 has no 'category_id'"),
        ('[{"category_id": 1, "score": "high"}]', 'of result 0 is not a number'),
        ('[{"category_id": 1.5, "score": 1}]', 'of result 0 is not a number'),
    ],
)
def test_unusable_files_are_errors_that_leave_nothing(tmp_path, text, message):
    source, target = tmp_path / 'in.json', tmp_path / 'out.json'
    source.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        rewrite_scores(source, target, shifted)
    assert str(source) in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ['in.json']


def test_a_truncated_gzip_file_is_an_error(tmp_path):
    source = tmp_path / 'in.json.gz'
    source.write_bytes(gzip.compress(json.dumps(RECORDS * 100).encode())[:-20])
    with pytest.raises(ValueError, match='cannot be read'):
        rewrite_scores(source, tmp_path / 'out.json', shifted)
