"""The sides of the evaluation's benchmarks, on a small set."""

import json
import subprocess
import sys

import pytest

from tools.benchmarks import evaluators
from tools.benchmarks.measure import BenchmarkError
from tools.benchmarks.result_sets import write_result_set


@pytest.fixture(scope='module')
def small_set(shared, tmp_path_factory):
    sample = shared / 'golden' / 'eval' / 'lvis_val_100.json'
    return write_result_set(sample, tmp_path_factory.mktemp('sets'), images=30, detections=30)


def printed_by(root, peer: str, small_set) -> dict[str, float]:
    script = root / 'tools' / 'benchmarks' / 'peer_evaluators.py'
    files = (str(small_set.ground_truth), str(small_set.results))
    command = [sys.executable, '-W', 'ignore', str(script), peer, *files]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    return json.loads(run.stdout)


def test_reference_prints_its_numbers_alone(root, small_set):
    numbers = printed_by(root, 'lvis-api', small_set)
    assert set(evaluators.ALL_KEYS) < set(numbers)
    assert 0.05 < numbers['AP'] < numbers['AP50'] < 1


def test_peer_that_is_not_installed_has_no_item(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluators, 'PEERS', tmp_path)
    assert evaluators.from_files('item', 'hotcoco', 10, ('segm',)) == ()
    (tmp_path / 'lib' / 'python3.11' / 'site-packages' / 'hotcoco').mkdir(parents=True)
    (benchmark,) = evaluators.from_files('item', 'hotcoco', 10, ('segm',))
    assert benchmark.name == 'item_hotcoco'
    assert benchmark.peer_run.command[0] == str(tmp_path / 'bin' / 'python')
    assert evaluators.has_peer('lvis-api')


def test_check_compares_every_number_it_promises(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluators, 'DATA', tmp_path)
    numbers = {'AP': 0.25, 'AP50': 0.5}
    (tmp_path / 'ours_7.json').write_text(json.dumps({'segm': {'old@300': numbers}}))
    check = evaluators.agrees(7, 'segm', ('AP', 'AP50'), 1e-9)
    assert check('', 'noise\n' + json.dumps({**numbers, 'wall_s': 3.0}))
    assert check('', json.dumps({**numbers, 'AP50': 0.5 + 1e-10}))
    assert not check('', json.dumps({**numbers, 'AP50': 0.5001}))
    assert not check('', json.dumps({**numbers, 'AP50': float('nan')}))
    with pytest.raises(KeyError):
        check('', json.dumps({'AP': 0.25}))


def test_missing_sample_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluators, 'DATA', tmp_path)
    monkeypatch.setattr(evaluators, 'SHARED', tmp_path)
    with pytest.raises(BenchmarkError, match=r'no lvis_val_100\.json; put the one of lvis-api'):
        evaluators.grow(3)()


def test_grown_set_is_where_the_sides_look_for_it(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluators, 'DATA', tmp_path)
    monkeypatch.setattr(evaluators, 'DETECTIONS', 4)
    evaluators.grow(3)()
    files = evaluators.files_of(3)
    assert len(json.loads(files.results.read_text())) == 12
    for side in (
        evaluators.our_process(3, ('segm',)),
        evaluators.peer_process('lvis-api', 3, 'segm'),
    ):
        assert {str(files.ground_truth), str(files.results)} < set(side.command)
