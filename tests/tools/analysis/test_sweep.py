import json

import pytest
from PIL import Image

from tools.analysis.sweep import TABLES, main
from tools.analysis.sweep_tables import TABLES as DEFINED

KEYS = ('AP', 'APr', 'APc', 'APf')
POOL_KEYS = ('AP-pooled-all', 'AP-pooled-r', 'AP-pooled-c', 'AP-pooled-f')


def sweep(files, folder, *options):
    assert main([*files, '--out-dir', str(folder), *options]) == 0
    return json.loads((folder / 'sweep.json').read_text())


def values(reference, keys=KEYS):
    numbers = [reference[key] for key in keys]
    return pytest.approx([None if number == -1 else number for number in numbers], abs=1e-12)


def test_names_on_the_command_line_are_those_of_the_tables():
    assert tuple(DEFINED) == TABLES


@pytest.mark.parametrize(('case', 'caps'), [('cap300', [50, 100, 300]), ('dets1000', [300, 1000])])
def test_limits_per_image_give_the_golden_numbers(golden_case, tmp_path, case, caps):
    *files, expected = golden_case(case)
    options = ['--tables', 'per-image', '--caps', *map(str, caps)]
    rows = sweep(files, tmp_path, *options)['per-image']['rows']
    for cap, row in zip(caps, rows, strict=True):
        assert row['ours'] == values(expected['segm/drop_bbox'][f'lvis@{cap}'])


def test_limits_per_class_give_the_golden_numbers(golden_case, tmp_path):
    *files, expected = golden_case('crowded')
    options = ['--tables', 'per-class', '--caps', '200', '10000']
    rows = sweep(files, tmp_path, *options)['per-class']['rows']
    for row, cap in zip(rows, (200, 10_000), strict=True):
        assert row['ours'] == values(expected['segm/drop_bbox'][f'fixed@{cap}'])


def test_reranking_gives_the_golden_numbers(golden_case, tmp_path):
    *files, expected = golden_case('dets1000')
    table = sweep(files, tmp_path, '--tables', 'reranking', '--caps', '30')['reranking']
    plain, reranked = table['rows']
    assert plain['ours'] == values(expected['segm/drop_bbox']['lvis@300'])
    assert reranked['ours'] == values(expected['segm/drop_bbox']['rerank30@300'])
    assert plain['published'] == [22.6, 12.6, 21.1, 28.6]
    assert reranked['published'] == []  # published for 10,000 per class only


def test_pool_and_boundary_without_effective_limits_are_golden(golden_case, tmp_path):
    *files, expected = golden_case('dets1000')
    content = sweep(files, tmp_path, '--tables', 'pool', 'boundary')
    pooled = expected['segm/drop_bbox']['pooled@10000']
    assert content['pool']['rows'][-1]['ours'] == values(pooled, POOL_KEYS)
    assert content['boundary']['iou_type'] == 'boundary'
    bounded = expected['segm/drop_bbox']['boundary_fixed@10000']
    assert content['boundary']['rows'][-1]['ours'] == values(bounded)
    assert content['boundary']['rows'][0]['published'] == [44.1, 40.4, 45.3, 44.4]


def test_subsets_are_what_a_file_of_their_results_alone_scores(golden_case, read_packed, tmp_path):
    from plugins.evaluation.engine import Request, evaluate, read_ground_truth, read_results

    *files, _ = golden_case('cap300')
    options = ['--tables', 'subsets', '--caps', '40', '400']
    rows = sweep(files, tmp_path, *options)['subsets']['rows']
    measured = {row['setting'].replace(' + ', ''): row['ours'] for row in rows}
    truth = read_ground_truth(files[0])
    group = dict(zip(truth.category_ids.tolist(), map(chr, truth.frequency), strict=True))
    records = read_packed(files[1])
    request = Request(max_dets=(40, 400), dets_per_class=())
    for letter in 'cf':
        alone = [record for record in records if group[record['category_id']] == letter]
        report = evaluate(truth, read_results(alone, truth), request)['segm']
        expected = [report[f'old@{cap}'][f'AP{letter}'] for cap in (40, 400)]
        assert measured[letter] == pytest.approx(expected, abs=1e-12)
    assert measured['c'][0] != measured['c'][1] or measured['f'][0] != measured['f'][1]
    assert set(measured) == {'r', 'c', 'f', 'rc', 'cf', 'rf', 'rcf'}


def test_everything_is_printed_and_drawn(golden_case, tmp_path, capsys):
    *files, _ = golden_case('basic')
    assert main([*files, '--out-dir', str(tmp_path), '--iou', 'bbox']) == 0
    printed = capsys.readouterr().out
    for text in ('AP_old@300', 'AP_fixed@10000', 'AP_pool', 'r + c + f', '(bbox, %)'):
        assert text in printed
    assert '(boundary, %)' in printed
    picture = Image.open(tmp_path / 'sweep.png').convert('RGB')
    assert picture.width > 1500
    assert len(set(picture.resize((300, 150)).getdata())) > 100


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--caps', '5'], 'choose one with --tables'),
        (['--tables', 'pool', '--caps', '0'], '--caps 0 leaves no result'),
    ],
)
def test_user_errors_are_one_line(golden_case, capsys, options, message):
    *files, _ = golden_case('basic')
    assert main([*files, *options]) == 1
    printed = capsys.readouterr().err.strip()
    assert printed.startswith('error: ')
    assert message in printed
    assert '\n' not in printed
