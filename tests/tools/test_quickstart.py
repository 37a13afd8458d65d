"""The steps of quickstart.sh and run_tests.sh, with stand-ins for what they call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = 'configs/quickstart/mask-rcnn_nano_fpn_rfs5e-2-6e_synthetic.py'
WORK_DIR = 'work_dirs/quickstart'

AP_TABLE = 'segm AP_old@300 (%): AP  9.17  APr  1.04'

# Runs the one-line programs of the scripts for real, and writes down everything else.
FAKE_PYTHON = """#!/bin/bash
case "$1" in
    -c) case "$2" in *cuda*) echo "$FAKE_GPUS" ;; *) exec "$REAL_PYTHON" "$@" ;; esac ;;
    -) exec "$REAL_PYTHON" "$@" ;;
    *) printf '%s|' "$@" >>"$FAKE_LOG"; echo "omp=$OMP_NUM_THREADS" >>"$FAKE_LOG"
       case "$1" in "$FAKE_FAILS") exit 1 ;; esac
       case "$1" in
           tools/test.py)
               mkdir -p "$5/20250102" && touch "$5/20250102/20250102.json"
               echo "$FAKE_METRIC" >"$5/20250102/20250102.log" ;;
       esac ;;
esac
"""

FAKE_TRAIN = """
printf 'train|' >>"$FAKE_LOG"; printf '%s|' "$@" >>"$FAKE_LOG"; echo >>"$FAKE_LOG"
mkdir -p "$4/20250101_000000" && echo x >"$4/$FAKE_CHECKPOINT" && echo x >"$4/last_checkpoint"
touch "$4/20250101_000000/20250101_000000.log"
exit "${FAKE_TRAIN_STATUS:-0}"
"""


class Checkout:
    def __init__(self, root: Path, folder: Path):
        self.root = folder / 'a checkout'
        self.log_file = folder / 'log'
        self.python = folder / 'my python'
        self.work_dir = self.root / WORK_DIR
        tools = self.root / 'tools'
        tools.mkdir(parents=True)
        for name in ('quickstart.sh', 'run_tests.sh'):
            shutil.copy(root / 'tools' / name, tools)
        shutil.copytree(root / 'configs', self.root / 'configs')
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)
        (tools / 'setup_env.sh').write_text(f"echo '{self.python}'\n")
        (tools / 'dist_train.sh').write_text(FAKE_TRAIN)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        self.log_file.write_text('')
        environment = {
            'PATH': os.environ['PATH'],
            'REAL_PYTHON': sys.executable,
            'FAKE_LOG': str(self.log_file),
            'FAKE_GPUS': '0',
            'FAKE_CHECKPOINT': 'epoch_6.pth',
            'FAKE_METRIC': f'01/02 - mmengine - INFO - {AP_TABLE}',
            **environment,
        }
        return subprocess.run(
            ['/bin/bash', str(self.root / 'tools' / script), *arguments],
            cwd=self.root.parent,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def log(self) -> list[list[str]]:
        return [line.rstrip('|').split('|') for line in self.log_file.read_text().splitlines()]


@pytest.fixture
def checkout(root, tmp_path):
    return Checkout(root, tmp_path)


def test_first_run_makes_data_trains_and_tests(checkout):
    run = checkout.run('quickstart.sh')
    assert run.returncode == 0, run.stderr
    checkpoint = f'{WORK_DIR}/epoch_6.pth'
    pictures = str(checkout.work_dir / 'pictures')
    assert checkout.log == [
        ['tools/data/generate.py', 'data/synthetic', 'omp=1'],
        ['train', CONFIG, '1', '--work-dir', WORK_DIR],
        ['tools/test.py', CONFIG, checkpoint, '--work-dir', f'{WORK_DIR}/test',
         '--show-dir', pictures, 'omp=1'],
    ]  # fmt: skip


def test_every_step_is_numbered_and_the_end_says_where_everything_is(checkout):
    out = checkout.run('quickstart.sh').stdout
    for step in range(1, 6):
        assert f'\n[{step}/5] ' in out
    assert AP_TABLE in out.splitlines()
    summary = dict(line.split(maxsplit=1) for line in out.splitlines()[-4:])
    assert summary['checkpoint'] == str(checkout.work_dir / 'epoch_6.pth')
    assert summary['log'].endswith('/20250101_000000/20250101_000000.log')
    assert summary['metrics'] == str(checkout.work_dir / 'test/20250102/20250102.json')
    assert summary['pictures'].startswith(str(checkout.work_dir / 'pictures'))


def test_finished_training_is_not_repeated(checkout):
    checkout.run('quickstart.sh')
    run = checkout.run('quickstart.sh')
    assert run.returncode == 0
    assert [call[0] for call in checkout.log] == ['tools/data/generate.py', 'tools/test.py']
    assert 'finished before' in run.stdout


def test_interrupted_training_is_resumed(checkout):
    stopped = checkout.run('quickstart.sh', FAKE_CHECKPOINT='epoch_3.pth', FAKE_TRAIN_STATUS='1')
    assert stopped.returncode == 1
    assert stopped.stderr.startswith('error: training stopped')
    assert checkout.run('quickstart.sh').returncode == 0
    assert checkout.log[1] == ['train', CONFIG, '1', '--work-dir', WORK_DIR, '--resume']


def test_all_gpus_are_used_and_threads_left_to_torch(checkout):
    assert checkout.run('quickstart.sh', FAKE_GPUS='4').returncode == 0
    assert checkout.log[1][2] == '4'
    assert checkout.log[0][-1] == 'omp='


def test_training_that_leaves_no_final_checkpoint_is_an_error(checkout):
    run = checkout.run('quickstart.sh', FAKE_CHECKPOINT='epoch_5.pth')
    assert run.returncode == 1
    assert 'without writing work_dirs/quickstart/epoch_6.pth' in run.stderr


@pytest.mark.parametrize('tool', ['tools/data/generate.py', 'tools/test.py'])
def test_a_step_that_fails_stops_the_rest(checkout, tool):
    run = checkout.run('quickstart.sh', FAKE_FAILS=tool)
    assert run.returncode == 1
    assert checkout.log[-1][0] == tool
    assert '[5/5]' not in run.stdout


def test_failed_set_up_stops_everything(checkout):
    (checkout.root / 'tools' / 'setup_env.sh').write_text('echo "error: no disk" >&2; exit 1\n')
    for script in ('quickstart.sh', 'run_tests.sh'):
        run = checkout.run(script)
        assert (run.returncode, run.stderr) == (1, 'error: no disk\n')
        assert checkout.log == []


def test_quickstart_trains_the_config_that_the_repository_has(root):
    assert (root / CONFIG).is_file()


def test_unknown_argument_prints_the_usage(checkout):
    run = checkout.run('quickstart.sh', '--fast')
    assert run.returncode == 2
    assert run.stderr.startswith('Usage:')


def test_tests_run_on_all_cores_and_arguments_are_passed_on(checkout):
    assert checkout.run('run_tests.sh', 'tests/ops', '-k', 'nms or iou').returncode == 0
    call = checkout.log[0]
    assert call[:3] == ['-m', 'pytest', '-n']
    assert 1 <= int(call[3]) <= os.cpu_count()
    assert call[4:] == ['--dist', 'worksteal', 'tests/ops', '-k', 'nms or iou', 'omp=1']


def test_continuous_integration_runs_the_same_command(root):
    script = (root / '.ci' / 'run').read_text()
    assert script.splitlines()[-1].endswith('exec bash tools/run_tests.sh')
