import json
import statistics

from tools.analysis.run_logs import find_runs
from tools.analysis.tabulate import main

KEYS = tuple(f'lvis/segm_{name}_old@300' for name in ('AP', 'APr', 'APc', 'APf'))


def metrics(first, *, step=12, **others):
    """A validation whose four values rise by one point each."""
    values = {key: first + place / 100 for place, key in enumerate(KEYS)}
    return values | {'step': step} | others


def write_run(folder, validations, *, seed=None, config='ce_lvis-v1', extra='', time='20260101_1'):
    """What tools/train.py leaves: the config beside the logs and in them, a record per line."""
    logs = folder / time / 'vis_data'
    logs.mkdir(parents=True)
    text = f'model = dict(type="MaskRCNN")\nrandomness = dict(seed={seed})\n{extra}\n'
    text += f"work_dir = '{folder}'\n"
    (folder / f'{config}.py').write_text(text)
    (logs / 'config.py').write_text(text)
    records = [{'lr': 0.1, 'loss': 3.0, 'iter': 20, 'step': 20}, *validations]
    lines = [json.dumps(record) for record in records]
    (logs / 'scalars.json').write_text('\n'.join(lines) + '\n')
    return folder


def table(capsys, *arguments):
    """Rows of the printed table by their first cell, and the lines below it."""
    assert main([str(argument) for argument in arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in line.strip('|').split('|')] for line in lines if line[:1] == '|']
    notes = [line for line in lines if line and line[0] != '|']
    return rows[0], {row[0]: row[1:] for row in rows[2:]}, notes


def error_of(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ')
    return lines[0]


def test_seeds_become_mean_and_sample_deviation_in_points(tmp_path, capsys):
    firsts = (0.20, 0.23, 0.21)
    for seed, first in enumerate(firsts):
        write_run(tmp_path / f'ce-seed{seed}', [metrics(first)], seed=seed)
    write_run(tmp_path / 'seesaw', [metrics(0.25)], seed=7, config='seesaw_lvis-v1')
    headings, rows, notes = table(capsys, tmp_path)
    assert headings[:4] == ['config', 'seeds', 'at', 'segm AP_old@300']
    mean, spread = 100 * statistics.mean(firsts), 100 * statistics.stdev(firsts)
    assert rows['ce_lvis-v1'][:3] == ['0, 1, 2', '12', f'{mean:.1f} ± {spread:.1f}']
    assert rows['seesaw_lvis-v1'] == ['7', '12', '25.0', '26.0', '27.0', '28.0']
    assert len(notes) == 1 and 'newest validation' in notes[0]


def test_a_validation_that_is_no_number_is_never_the_best(tmp_path, capsys):
    run = write_run(tmp_path / 'run', [metrics(float('nan'), step=1), metrics(0.2, step=2)], seed=0)
    assert table(capsys, run, '--best', KEYS[0])[1]['ce_lvis-v1'][1:3] == ['2', '20.0']


def test_newest_validation_counts_also_when_a_resumed_run_made_it(tmp_path, capsys):
    run = write_run(tmp_path / 'run', [metrics(0.3, step=1), metrics(0.1, step=2)], seed=0)
    assert table(capsys, run)[1]['ce_lvis-v1'][1:3] == ['2', '10.0']
    write_run(run, [metrics(0.15, step=3)], seed=0, time='20260102_1')
    assert table(capsys, run)[1]['ce_lvis-v1'][1:3] == ['3', '15.0']
    assert table(capsys, run, '--best', KEYS[0])[1]['ce_lvis-v1'][1:3] == ['1', '30.0']


def test_validation_without_all_keys_does_not_count(tmp_path, capsys):
    fixed = 'lvis/segm_AP_fixed@10000'
    records = [metrics(0.3, step=1, **{fixed: 0.4}), metrics(0.1, step=2)]
    run = write_run(tmp_path / 'run', records, seed=0)
    assert table(capsys, run, '--keys', fixed)[1]['ce_lvis-v1'] == ['0', '1', '40.0']
    heading = table(capsys, run, '--keys', 'lvis/segm_AP_*')[0]
    assert sorted(heading[3:]) == ['segm AP_fixed@10000', 'segm AP_old@300']


def test_unfinished_and_killed_runs_are_named(tmp_path, capsys):
    write_run(tmp_path / 'done', [metrics(0.2)], seed=0)
    write_run(tmp_path / 'early', [], seed=1)
    killed = write_run(tmp_path / 'killed', [metrics(0.4)], seed=2)
    log = next(killed.rglob('scalars.json'))
    log.write_text(log.read_text()[:-30])
    _, rows, notes = table(capsys, tmp_path)
    assert rows['ce_lvis-v1'][0] == '0'
    assert f'`{tmp_path / "early"}`, `{killed}`' in notes[-1]


def test_seed_may_come_from_the_name_and_stays_open_without_any(tmp_path, capsys):
    write_run(tmp_path / 'ce_seed3', [metrics(0.2)])
    write_run(tmp_path / 'other', [metrics(0.4)])
    _, rows, _ = table(capsys, tmp_path)
    assert rows['ce_lvis-v1'][0] == '3, ?'
    assert rows['ce_lvis-v1'][2] == '30.0 ± 14.1'


def test_runs_that_differ_in_more_than_the_seed_are_not_averaged(tmp_path, capsys):
    write_run(tmp_path / 'a_seed0', [metrics(0.2)], seed=0)
    write_run(tmp_path / 'a_seed1', [metrics(0.2)], seed=1, extra="load_from = 'other.pth'")
    write_run(tmp_path / 'b_seed0', [metrics(0.5)], seed=0, extra='max_epochs = 3')
    _, rows, _ = table(capsys, tmp_path)
    assert rows['ce_lvis-v1 [a]'][0] == '0, 1'
    assert rows['ce_lvis-v1 [b]'][2] == '50.0'


def test_a_repeated_seed_counts_once_and_is_named(tmp_path, capsys):
    write_run(tmp_path / 'a', [metrics(0.2)], seed=0)
    write_run(tmp_path / 'b', [metrics(0.4)], seed=0)
    _, rows, notes = table(capsys, tmp_path)
    assert rows['ce_lvis-v1'][:3] == ['0', '12', '40.0']
    assert notes[-1].startswith(f'`{tmp_path / "a"}` repeats seed 0')


def test_test_runs_have_a_row_of_their_own(tmp_path, capsys):
    run = write_run(tmp_path / 'run', [metrics(0.2)], seed=0)
    logs = run / '20260103_1' / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text((run / 'ce_lvis-v1.py').read_text())
    tested = {key: value for key, value in metrics(0.6).items() if key != 'step'}
    (logs.parent / '20260103_1.json').write_text(json.dumps(tested))
    _, rows, _ = table(capsys, run)
    assert rows['ce_lvis-v1'][1:3] == ['12', '20.0']
    assert rows['ce_lvis-v1 (test)'][1:3] == ['-', '60.0']


def test_undefined_value_is_a_dash(tmp_path, capsys):
    write_run(tmp_path / 'run', [metrics(0.2, **{KEYS[1]: -1.0})], seed=0)
    assert table(capsys, tmp_path)[1]['ce_lvis-v1'][2:4] == ['20.0', '-']


def test_out_holds_the_printed_table(tmp_path, capsys):
    write_run(tmp_path / 'run', [metrics(0.2)], seed=0)
    out = tmp_path / 'deep' / 'table.md'
    assert main([str(tmp_path / 'run'), '--out', str(out)]) == 0
    assert out.read_text() == capsys.readouterr().out
    assert list(out.parent.iterdir()) == [out]


def test_configs_are_read_not_executed(tmp_path):
    mark = tmp_path / 'executed'
    run = write_run(tmp_path / 'run', [metrics(0.2)], seed=4, extra=f'open({str(mark)!r}, "w")')
    (found,) = find_runs(run)
    assert found.seed == 4 and found.config == 'ce_lvis-v1' and not mark.exists()


def test_bad_input_is_one_error(tmp_path, capsys):
    assert 'is no folder' in error_of(capsys, tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    assert 'holds no run' in error_of(capsys, tmp_path / 'empty')
    run = write_run(tmp_path / 'run', [metrics(0.2)], seed=0)
    assert KEYS[0] in error_of(capsys, run, '--keys', 'lvis/segm_AP_fixed@10000')
    log = next(run.rglob('scalars.json'))
    log.write_text('{"broken\n' + log.read_text())
    assert 'scalars.json, line 1' in error_of(capsys, run)
