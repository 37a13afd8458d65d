"""The evaluator's command line: numbers of the reference programs, and errors in one line."""

import gzip
import json
import re
import subprocess
import sys

import pytest

from plugins.evaluation.engine.coco_synsets import COCO_SYNSETS
from tools.evaluate import main

COUNTS = 'lvis_v05_train_counts.json'
METRICS = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')


@pytest.fixture
def golden(shared):
    return shared / 'golden/eval'


@pytest.fixture
def case(golden):
    return [str(golden / f'cap300.{kind}.json.gz') for kind in ('gt', 'dt')]


def error_of(capsys, *arguments):
    """The one line that a failing call prints."""
    assert main([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ''
    assert captured.err.startswith('error: ')
    assert captured.err.count('\n') == 1
    return captured.err


def read_packed(path):
    with gzip.open(path, 'rt') as file:
        return json.load(file)


def test_numbers_in_the_file_are_those_of_the_references(golden, case, tmp_path, capsys):
    out = tmp_path / 'new folder' / 'out.json'
    options = ['--iou', 'segm', 'boundary', '--max-dets', '300', '100', '--pool']
    options += ['--dets-per-class', '10000', '20', '--rerank', '20', '--per-category']
    assert main([*case, *options, '--counts', str(golden / COUNTS), '--out', str(out)]) == 0
    report = json.loads(out.read_text())
    assert set(report) == {'segm', 'boundary'}
    expected = json.loads((golden / 'cap300.expected.json').read_text())['expected']
    expected = expected['segm/drop_bbox']
    for iou_type, ours, theirs in (
        ('segm', 'old@300', 'lvis@300'),
        ('segm', 'old@100', 'lvis@100'),
        ('segm', 'fixed@20', 'fixed@20'),
        ('segm', 'rerank20@300', 'rerank20@300'),
        ('boundary', 'old@300', 'boundary@300'),
        ('boundary', 'fixed@10000', 'boundary_fixed@10000'),
    ):
        found, wanted = report[iou_type][ours], expected[theirs]
        keys = [key for key in METRICS if key in wanted]
        assert len(keys) >= 4
        assert [found[key] for key in keys] == pytest.approx(
            [wanted[key] for key in keys], abs=1e-12
        )
    assert report['segm']['old@300']['AR@300'] == pytest.approx(
        expected['lvis@300']['AR@300'], abs=1e-12
    )
    bins = {key: -1 if v is None else v for key, v in expected['bins@300'].items()}
    found = {key: report['segm']['bins@300'][key] for key in bins}
    assert found == pytest.approx(bins, abs=1e-12)
    table = report['segm']['per_category']
    for category, precision in expected['per_category'].items():
        assert table[category]['old@300']['AP'] == pytest.approx(precision, abs=1e-12)
    printed = capsys.readouterr()
    assert 'AP_pool@10000' in printed.out
    assert 'fewer than 10,000 results' in printed.err
    assert [path.name for path in out.parent.iterdir()] == ['out.json']


def test_rules_of_coco_are_those_of_pycocotools(golden, tmp_path, capsys):
    paths = [str(golden / f'coco_crowd.{kind}.json.gz') for kind in ('gt', 'dt')]
    counts, out = tmp_path / 'counts.json', tmp_path / 'out.json'
    content = json.loads((golden / 'coco_crowd.expected.json').read_text())
    counts.write_text(json.dumps(content['train_instance_count']))
    options = ['--rules', 'coco', '--iou', 'bbox', 'segm', '--counts', str(counts)]
    assert main([*paths, *options, '--out', str(out)]) == 0
    report = json.loads(out.read_text())
    assert list(report) == ['bbox', 'segm']
    for iou_type, protocols in report.items():
        stats = content['expected'][iou_type]['stats']
        wanted = stats['AP'] if isinstance(stats, dict) else stats[0]
        assert protocols['coco@100']['AP'] == pytest.approx(wanted, abs=1e-12)
        assert set(protocols) == {'coco@100', 'bins@100'}
    assert '20-399' in capsys.readouterr().out


def test_results_of_coco_are_scored_through_synsets(golden, tmp_path, capsys):
    """The annotations themselves, with COCO's ids, find all of the shared categories."""
    data = json.loads((golden / 'lvis_val_100.json').read_text())
    coco_id = {synset: key for key, synset in COCO_SYNSETS.items()}
    of_category = {c['id']: coco_id.get(c['synset']) for c in data['categories']}
    results = [
        {
            'image_id': a['image_id'], 'category_id': of_category[a['category_id']], 'score': 0.5,
            'segmentation': a['segmentation'],
        }
        for a in data['annotations']
        if of_category[a['category_id']]
    ]  # fmt: skip
    path, out = tmp_path / 'results.json', tmp_path / 'out.json'
    path.write_text(json.dumps(results))
    annotations = str(golden / 'lvis_val_100.json')
    options = ['--synsets', '--per-category', '--out', str(out)]
    assert main([annotations, str(path), *options]) == 0
    report = json.loads(out.read_text())['segm']
    assert report['old@300']['AP'] == pytest.approx(1, abs=1e-9)
    assert len(report['per_category']) == 78
    assert 'lacks the synset of 2 categories of COCO (ids 58, 79)' in capsys.readouterr().err


def test_boxes_need_no_masks(golden, tmp_path, capsys):
    data = read_packed(golden / 'bbox_only.gt.json.gz')
    for annotation in data['annotations']:
        del annotation['segmentation']
    path = tmp_path / 'gt.json'
    path.write_text(json.dumps(data))
    out = tmp_path / 'out.json'
    results = str(golden / 'bbox_only.dt.json.gz')
    assert main([str(path), results, '--iou', 'bbox', '--out', str(out)]) == 0
    expected = json.loads((golden / 'bbox_only.expected.json').read_text())['expected']
    assert json.loads(out.read_text())['bbox']['old@300']['AP'] == pytest.approx(
        expected['bbox/keep_bbox']['lvis@300']['AP'], abs=1e-12
    )


def test_sizes_may_come_from_boxes_as_in_the_reference(golden, tmp_path):
    paths = [str(golden / f'bbox_only.{kind}.json.gz') for kind in ('gt', 'dt')]
    out = tmp_path / 'out.json'
    assert main([*paths, '--area-from-box', '--out', str(out)]) == 0
    found = json.loads(out.read_text())['segm']['old@300']
    expected = json.loads((golden / 'bbox_only.expected.json').read_text())['expected']
    expected = expected['segm/keep_bbox']['lvis@300']
    assert [found[key] for key in METRICS] == pytest.approx(
        [expected[key] for key in METRICS], abs=1e-12
    )


def test_nothing_found_is_zero_and_no_error(case, tmp_path, capsys):
    path = tmp_path / 'none.json'
    path.write_text('[]')
    assert main([case[0], str(path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if 'AP_old@300' in line)
    assert row.split()[1] == '0.00'


@pytest.mark.parametrize(
    'spoil, message',
    [
        (lambda e: e[3].update(score=float('nan')), 'result 3 .*has score NaN'),
        (lambda e: e[3].update(image_id=-5), 'result 3 is for image -5'),
        (lambda e: e[3].pop('score'), 'result 3 .*has no `score`'),
        (lambda e: e[3]['segmentation'].update(size=[3, 3]), r'result 3 .*size \[3, 3\]'),
        (lambda e: e[3]['segmentation'].update(counts='ZZZ'), 'mask of result 3 '),
        (lambda e: [one.update(image_id=10**9) for one in e], 'another data set'),
        (lambda e: [one.update(category_id=10**9) for one in e], 'another data set'),
    ],
)
def test_a_bad_result_is_one_line_with_file_and_index(case, tmp_path, capsys, spoil, message):
    entries = read_packed(case[1])[:50]
    spoil(entries)
    path = tmp_path / 'results.json'
    path.write_text(json.dumps(entries))
    error = error_of(capsys, case[0], path)
    assert 'results.json' in error
    assert re.search(message, error), error


@pytest.mark.parametrize('content', ['', '[{"image_id": 1', '{"a": 1}', 'PK\x03\x04', '[1]'])
def test_what_is_no_result_file_is_one_line(case, tmp_path, capsys, content):
    path = tmp_path / 'results.json'
    path.write_text(content)
    assert 'results.json: ' in error_of(capsys, case[0], path)


def test_bad_annotations_are_one_line(case, golden, tmp_path, capsys):
    path = tmp_path / 'gt.json'
    data = read_packed(case[0])
    for change, message in (
        (dict(id=0), 'annotation id 0'),
        (dict(id=data['annotations'][1]['id']), 'used more than once'),
        (dict(bbox=[0, 0, float('nan'), 1]), 'bbox'),
    ):
        annotations = [{**data['annotations'][0], **change}, *data['annotations'][1:]]
        path.write_text(json.dumps({**data, 'annotations': annotations}))
        assert message in error_of(capsys, path, case[1])
    del data['images'][0]['neg_category_ids']
    path.write_text(json.dumps(data))
    assert 'use the rules of COCO' in error_of(capsys, path, case[1])
    assert 'no such file' in error_of(capsys, tmp_path / 'nowhere.json', case[1])
    assert 'no count for category' in error_of(
        capsys, *case, '--counts', golden.parent.parent / 'lvis/coco_lt_category_counts.json'
    )


@pytest.mark.parametrize(
    'options, message',
    [
        (['--max-dets', '0'], '--max-dets 0'),
        (['--dets-per-class', '-1'], '--dets-per-class -1'),
        (['--threads', '0'], '--threads 0'),
        (['--dilation-ratio', '2'], '--dilation-ratio'),
        (['--rules', 'coco', '--subsets'], '--subsets'),
        (['--out', '.'], 'folder'),
    ],
)
def test_bad_options_are_one_line(case, capsys, options, message):
    assert message in error_of(capsys, *case, *options)


def test_a_fresh_process_needs_neither_torch_nor_mmdet(root, case, tmp_path):
    command = [sys.executable, '-X', 'importtime', str(root / 'tools/evaluate.py'), *case]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'AP_fixed@10000' in done.stdout
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert 'plugins.evaluation.engine.matching' in imported
    assert not imported & {'torch', 'mmdet', 'mmcv', 'mmengine', 'lvis', 'plugins.ops'}
