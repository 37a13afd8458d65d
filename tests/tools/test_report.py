import json

import pytest

from tests.evaluation.report import small_set
from tools.analysis import report


@pytest.fixture
def files(tmp_path):
    """Places of annotations, results and pictures of the small set."""
    return small_set.write(tmp_path)


def payload(page):
    text = page.read_text(encoding='utf-8')
    start = text.index('type="application/json">') + len('type="application/json">')
    return json.loads(text[start : text.index('</script>', start)])


def error_of(arguments, capsys):
    """The one line that a failing call prints."""
    assert report.main([str(argument) for argument in arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert len(lines) == 1 and lines[0].startswith('error: ')
    return lines[0]


def test_a_page_compares_named_runs(files, tmp_path, capsys):
    annotations, results, pictures = files
    out = tmp_path / 'deep' / 'report.html'
    command = [f'first={results}', f'second={results}', '--gt', annotations]
    command += ['--images', pictures, '--counts', annotations, '--boundary', '--out', out]
    assert report.main([str(argument) for argument in command]) == 0
    data = payload(out)
    assert [run['name'] for run in data['runs']] == ['first', 'second']
    assert data['title'] == 'first and second'
    labels = [protocol['label'] for protocol in data['protocols']]
    assert labels == [
        'AP_old@300',
        'AP_fixed@10000',
        'AP_pool@10000',
        'boundary AP_old@300',
        'boundary AP_fixed@10000',
        'boundary AP_pool@10000',
        'bins of AP_old@300',
    ]
    # Cups: 2 of 3 found, both before any mistake counts at the low recalls; see small_set.
    columns = data['runs'][0]['columns']
    assert columns['AP'][1:] == [0, 0] and columns['AR'][0] == pytest.approx(2 / 3)
    assert data['categories']['train'] == [3, 1, 1]
    assert str(out) in capsys.readouterr().out
    assert list(out.parent.iterdir()) == [out]


def test_a_run_without_a_name_is_called_after_its_file(files, tmp_path):
    annotations, results, _ = files
    out = tmp_path / 'report.html'
    assert report.main([str(results), '--gt', str(annotations), '--out', str(out)]) == 0
    assert payload(out)['runs'][0]['name'] == 'results'


def test_a_path_may_hold_an_equals_sign(files, tmp_path):
    annotations, results, _ = files
    odd = results.rename(tmp_path / 'lr=0.1.json')
    out = tmp_path / 'report.html'
    assert report.main([str(odd), '--gt', str(annotations), '--out', str(out)]) == 0
    assert payload(out)['runs'][0]['name'] == 'lr=0.1'


def test_pictures_that_cannot_be_read_are_counted_in_one_warning(files, tmp_path, capsys):
    annotations, results, pictures = files
    (pictures / '9.png').unlink()
    (pictures / '7.png').unlink()
    command = [results, '--gt', annotations, '--images', pictures, '--out', tmp_path / 'r.html']
    assert report.main([str(argument) for argument in command]) == 0
    warnings = [w for w in capsys.readouterr().err.splitlines() if w.startswith('warning: ')]
    assert len(warnings) == 1 and 'such as that of image 7' in warnings[0]


def test_bad_input_ends_with_one_line_and_leaves_no_page(files, tmp_path, capsys):
    annotations, results, _ = files
    out = tmp_path / 'report.html'
    rest = ['--gt', annotations, '--out', out]
    assert 'two runs are called' in error_of([results, results, *rest], capsys)
    assert 'must be NAME=RESULTS' in error_of([f'={results}', *rest], capsys)
    assert 'nowhere.json' in error_of([tmp_path / 'nowhere.json', *rest], capsys)
    assert 'no such image folder' in error_of([results, *rest, '--images', 'nowhere'], capsys)
    results.write_text(results.read_text()[:-30])
    assert 'results.json' in error_of([results, *rest], capsys)
    assert not out.exists()


@pytest.mark.parametrize(
    'options',
    [
        ['--max-dets', '-2'],
        ['--examples', '-1'],
        ['--boundary', '--iou', 'bbox'],
        ['--listed', '-1'],
    ],
)
def test_options_without_meaning_are_refused(options, capsys):
    with pytest.raises(SystemExit) as stop:
        report.parse_args(['r.json', '--gt', 'gt.json', '--out', 'r.html', *options])
    assert stop.value.code == 2
