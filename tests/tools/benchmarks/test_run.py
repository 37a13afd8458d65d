"""The frame of the benchmarks: what is measured, compared and reported."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from tools.benchmarks.item import Benchmark, run_benchmark
from tools.benchmarks.items.startup import has_all_flags, keeps_stock_names
from tools.benchmarks.measure import BenchmarkError, FreshProcess, measure
from tools.benchmarks.run import find_benchmarks, run_here, select

FIELDS = ['item', 'peer', 'ours_s', 'peer_s', 'ratio', 'ours_mb', 'peer_mb', 'equal']


def burn(seconds: float) -> None:
    stop = time.process_time() + seconds
    while time.process_time() < stop:
        pass


def item(**options) -> Benchmark:
    defaults = {
        'name': 'toy', 'peer': 'a loop', 'ours': lambda _: burn(0.01),
        'peer_run': lambda _: burn(0.05), 'check': lambda ours, peer: ours == peer, 'repeats': 3,
    }  # fmt: skip
    return Benchmark(**{**defaults, **options})


def python(code: str) -> FreshProcess:
    return FreshProcess((sys.executable, '-c', code))


def test_ratio_is_the_time_of_the_peer_over_ours():
    row = run_benchmark(item())
    assert row.ours_s == pytest.approx(0.01, rel=0.5)
    assert row.ratio == row.peer_s / row.ours_s
    assert 2.5 < row.ratio < 10
    assert row.equal


def test_time_is_cpu_time_not_waiting():
    assert measure(lambda _: time.sleep(0.3), None).cost.seconds < 0.1


def test_child_processes_count():
    code = 'import time\nwhile time.process_time() < 0.4: pass'
    run = measure(lambda _: subprocess.run([sys.executable, '-c', code], check=True), None)
    assert run.cost.seconds > 0.3


def test_memory_is_the_additional_peak_even_if_freed_at_once():
    megabytes = 64

    def use_memory(_: object) -> int:
        return int(np.ones(megabytes * 2**20, dtype=np.uint8)[-1])

    assert measure(use_memory, None).cost.megabytes == pytest.approx(megabytes, rel=0.1)
    assert measure(lambda _: None, None).cost.megabytes < megabytes / 4


def test_fresh_process_reports_its_output_time_and_memory():
    run = measure(python('x = bytearray(300 * 2**20)\nprint("done")'), None)
    assert run.result == 'done\n'
    assert run.cost.megabytes > 300
    assert 0 < run.cost.seconds < 5


def test_fresh_process_that_fails_is_an_error_with_its_message():
    with pytest.raises(BenchmarkError, match=r'status 1(.|\n)*ZeroDivisionError'):
        measure(python('1 / 0'), None)


def test_sides_alternate_and_share_the_inputs():
    calls = []
    run_benchmark(
        item(
            setup=lambda: 'inputs',
            ours=lambda inputs: calls.append(('ours', inputs)),
            peer_run=lambda inputs: calls.append(('peer', inputs)),
            repeats=2,
        )
    )
    assert calls == [('ours', 'inputs'), ('peer', 'inputs')] * 3


def test_unequal_results_have_no_ratio_and_fail(capsys):
    unequal = item(ours=lambda _: 1, peer_run=lambda _: 2)
    assert run_here(unequal, repeats=1) == 1
    captured = capsys.readouterr()
    row = json.loads(captured.out)
    assert (row['equal'], row['ratio']) == (False, None)
    assert captured.err.splitlines()[-1].startswith('error: toy')


def test_results_that_differ_in_one_run_only_are_unequal():
    answers = iter([1, 1, 1, 2, 1])
    assert not run_benchmark(item(ours=lambda _: next(answers), peer_run=lambda _: 1)).equal


def test_report_is_one_json_line_and_progress_goes_to_stderr(capsys):
    assert run_here(item(), repeats=1) == 0
    captured = capsys.readouterr()
    assert captured.out.count('\n') == 1
    assert list(json.loads(captured.out)) == FIELDS
    assert 'run 1/1' in captured.err


def test_names_of_benchmarks_are_unique_over_all_modules():
    names = [name for group in find_benchmarks().values() for name in group]
    assert len(names) == len(set(names)) > 0


def test_a_module_name_selects_all_it_holds():
    found = {'one': {'a': item(name='a'), 'b': item(name='b')}, 'two': {'c': item(name='c')}}
    assert [chosen.name for chosen in select(found, ['one'])] == ['a', 'b']
    assert [chosen.name for chosen in select(found, ['c', 'a'])] == ['c', 'a']
    assert [chosen.name for chosen in select(found, [])] == ['a', 'b', 'c']
    with pytest.raises(ValueError, match="no benchmark 'd'"):
        select(found, ['d'])


def test_help_benchmark_runs_from_the_command_line(root, tmp_path):
    command = [sys.executable, str(root / 'tools/benchmarks/run.py'), 'help', '--repeats', '1']
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    row = json.loads(run.stdout)
    assert row['item'] == 'help'
    assert row['equal'] is True
    assert row['ratio'] > 3


def test_import_check_notices_a_replaced_class():
    stock = json.dumps({'MODELS A': 'mmdet.A', 'MODELS B': 'mmdet.B'})
    assert keeps_stock_names(json.dumps({'MODELS A': 'mmdet.A', 'MODELS C': 'ours.C'}), stock)
    assert not keeps_stock_names(json.dumps({'MODELS A': 'ours.A'}), stock)


def test_help_check_notices_a_missing_flag():
    assert has_all_flags('--amp --work-dir --tta', 'usage: [--amp] [--work-dir X] [--local_rank N]')
    assert not has_all_flags('--work-dir', '--amp --work-dir')
    assert not has_all_flags('--amp', 'no flags at all')
