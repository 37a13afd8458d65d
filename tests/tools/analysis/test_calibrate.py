import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from plugins.evaluation.calibration import METHODS as ALL_METHODS
from tools.analysis.calibrate import METHODS, main
from tools.analysis.figures import GROUPS


@pytest.fixture(scope='module')
def folder(shared):
    return shared / 'golden/eval'


@pytest.fixture(scope='module')
def stored(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp('calibration') / 'calibration.json'
    training = [str(folder / f'calib_train.{part}.json.gz') for part in ('gt', 'dt')]
    options = ['--method', 'isotonic', 'histogram', '--count-not-exhaustive']
    assert main(['fit', *training, '--out', str(path), *options]) == 0
    return path


def test_names_of_the_methods_are_those_of_the_package():
    assert METHODS == ALL_METHODS


def test_report_gives_the_golden_numbers_and_pictures(stored, folder, tmp_path, capsys):
    expected = json.loads((folder / 'calib.expected.json').read_text())
    others = [str(folder / f'calib_test.{part}.json.gz') for part in ('gt', 'dt')]
    out = tmp_path / 'report'
    assert main(['report', str(stored), *others, '--out-dir', str(out), '--leave-ties']) == 0
    report = json.loads((out / 'report.json').read_text())['methods']
    assert list(report) == ['uncalibrated', 'isotonic', 'histogram']
    for name, reference in (
        ('uncalibrated', expected['uncalibrated']),
        ('isotonic', expected['methods']['isotonic']['no_tie_break']),
        ('histogram', expected['methods']['histogram20']['no_tie_break']),
    ):
        for key, letter in (('all', ''), ('r', 'r'), ('c', 'c'), ('f', 'f')):
            pooled = reference[f'AP-pooled-{key}']
            assert report[name]['pool'][f'AP{letter}'] == pytest.approx(pooled, abs=1e-12)
            fixed = reference[f'fixed_AP{letter}']
            assert report[name]['fixed'][f'AP{letter}'] == pytest.approx(fixed, abs=1e-12)
    assert report['isotonic']['ECE']['all'] < report['uncalibrated']['ECE']['all'] / 3
    printed = capsys.readouterr().out
    assert 'AP_pool in % (segm, lvis rules, 10,000 results per class)' in printed
    assert '28.3 / 14.4 / 22.2 / 28.7' in printed
    assert '11.76' in printed
    picture = np.asarray(Image.open(out / 'reliability_isotonic.png').convert('RGB')).astype(int)
    for _, colour in GROUPS.values():
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture - rgb).sum(2) < 12).sum() > 200


def test_applied_results_score_like_the_report(stored, folder, tmp_path, read_packed):
    from plugins.evaluation.engine import Request, evaluate, read_ground_truth, read_results

    source, target = folder / 'calib_test.dt.json.gz', tmp_path / 'calibrated.json.gz'
    options = ['--method', 'isotonic', '--out', str(target)]
    assert main(['apply', str(stored), str(source), *options]) == 0
    before, after = read_packed(source), read_packed(target)
    for old, new in zip(before, after, strict=True):
        assert {**old, 'score': 0} == {**new, 'score': 0}
    out = tmp_path / 'report'
    others = [str(folder / f'calib_test.{part}.json.gz') for part in ('gt', 'dt')]
    options = ['--method', 'isotonic', '--out-dir', str(out)]
    assert main(['report', str(stored), *others, *options]) == 0
    report = json.loads((out / 'report.json').read_text())['methods']['isotonic']
    truth = read_ground_truth(others[0])
    measured = evaluate(truth, read_results(target, truth), Request(max_dets=()))['segm']
    assert report['pool'] == {key: measured['pool@10000'][key] for key in report['pool']}
    assert report['fixed'] == {key: measured['fixed@10000'][key] for key in report['fixed']}


def test_categories_without_a_match_follow_the_fallback(folder, tmp_path, read_packed):
    training = [str(folder / f'calib_train.{part}.json.gz') for part in ('gt', 'dt')]
    scores = {}
    for fallback in ('zero', 'keep', 'group'):
        path, target = tmp_path / f'{fallback}.json', tmp_path / f'{fallback}.dt.json'
        options = ['--fallback', fallback, '--iou', 'bbox', '--threshold', '0.5']
        assert main(['fit', *training, '--out', str(path), *options]) == 0
        others = str(folder / 'calib_test.dt.json.gz')
        assert main(['apply', str(path), others, '--out', str(target)]) == 0
        scores[fallback] = np.array([record['score'] for record in json.loads(target.read_text())])
    before = read_packed(folder / 'calib_test.dt.json.gz')
    fitted = json.loads(path.read_text())['methods']['platt']['models']
    inside = np.array([str(record['category_id']) in fitted for record in before])
    original = np.array([record['score'] for record in before])
    assert 0 < inside.sum() < len(inside)
    np.testing.assert_allclose(scores['zero'][inside], scores['keep'][inside], atol=1e-12)
    assert scores['zero'][~inside].max() < 1e-300
    np.testing.assert_allclose(scores['keep'][~inside], original[~inside], atol=1e-12)
    assert 0 < scores['group'][~inside].max() < 1


def test_user_errors_are_one_line(stored, folder, tmp_path, capsys):
    training = [str(folder / f'calib_train.{part}.json.gz') for part in ('gt', 'dt')]
    results = training[1]
    empty = tmp_path / 'empty.json'
    empty.write_text('[]')
    out = ['--out', str(tmp_path / 'out.json')]
    for arguments, message in (
        (['fit', *training, *out, '--threshold', '0.72'], 'must be one of 0.50'),
        (['fit', training[0], str(empty), *out], 'so nothing can be learnt'),
        (['fit', str(tmp_path / 'no.json'), results, *out], 'no.json'),
        (['apply', str(stored), results, *out], 'choose one with --method'),
        (['apply', str(stored), results, *out, '--method', 'beta'], 'holds no beta, only isotonic'),
        (['apply', str(empty), results, *out], 'is not a calibration file'),
        (['report', str(tmp_path / 'no.json'), *training], 'cannot be read'),
    ):
        assert main(arguments) == 1, arguments
        lines = capsys.readouterr().err.strip().splitlines()
        errors = [line for line in lines if line.startswith('error: ')]
        assert len(errors) == 1
        assert message in errors[0]
        assert not (tmp_path / 'out.json').exists()


def test_it_runs_without_torch(root, stored, folder, tmp_path):
    code = (
        'import sys; from tools.analysis.calibrate import main; code = main(sys.argv[1:]); '
        "assert not {'torch', 'mmdet', 'mmengine'} & set(sys.modules); sys.exit(code)"
    )
    others = [str(folder / f'calib_test.{part}.json.gz') for part in ('gt', 'dt')]
    arguments = ['report', str(stored), *others, '--out-dir', str(tmp_path / 'out')]
    run = subprocess.run(
        [sys.executable, '-c', code, *arguments], cwd=root, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
