"""dist_*.sh and slurm_*.sh, with a stand-in for Python and srun that records its arguments."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.launch import describe

# The interpreter's path may have blanks, which a first line cannot express.
RECORD = f"""#!/bin/bash
exec '{sys.executable}' - "$@" <<'PY'
import json, os, sys
names = ('OMP_NUM_THREADS', 'PYTHONPATH')
record = {{'arguments': sys.argv[1:], **{{name: os.environ.get(name) for name in names}}}}
with open(os.environ['RECORD'], 'w') as file:
    json.dump(record, file)
PY
"""

SCRIPTS = ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh')


class Checkout:
    """Copies of the scripts in a folder with blanks, called from another folder with blanks."""

    def __init__(self, root: Path, folder: Path):
        self.root = folder / 'a checkout'
        self.caller = folder / 'the caller'
        self.bin = folder / 'bin'
        self.record = folder / 'record.json'
        for path in (self.root / 'tools', self.caller, self.bin):
            path.mkdir(parents=True)
        for name in (*SCRIPTS, 'launch.sh', 'launch.py'):
            shutil.copy(root / 'tools' / name, self.root / 'tools')
        for name in ('python', 'srun', 'my python'):
            path = self.bin / name
            path.write_text(RECORD)
            path.chmod(0o755)

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ['/bin/bash', os.path.relpath(self.root / 'tools' / script, self.caller), *arguments],
            cwd=self.caller,
            env={'PATH': f'{self.bin}:/usr/bin:/bin', 'RECORD': str(self.record), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def recorded(self, script: str, *arguments: str, **environment: str) -> dict:
        run = self.run(script, *arguments, **environment)
        assert run.returncode == 0, run.stderr
        return json.loads(self.record.read_text())

    def tool(self, name: str) -> str:
        return str(self.root / 'tools' / name)


@pytest.fixture
def checkout(root, tmp_path):
    return Checkout(root, tmp_path)


def test_training_runs_on_a_port_of_its_own_with_arguments_untouched(checkout):
    extra = ('--work-dir', 'my runs', '--cfg-options', 'a="[1, 2]"', 'b=$HOME *')
    record = checkout.recorded('dist_train.sh', 'my config.py', '2', *extra)
    assert record['arguments'] == [
        checkout.tool('launch.py'),
        '--standalone',
        '--local-addr=127.0.0.1',
        '--nproc-per-node=2',
        checkout.tool('train.py'),
        '--launcher',
        'pytorch',
        'my config.py',
        *extra,
    ]
    assert record['PYTHONPATH'] == str(checkout.root)


def test_testing_takes_config_checkpoint_and_number_of_processes(checkout):
    record = checkout.recorded('dist_test.sh', 'c.py', 'my epoch.pth', '4', '--out', 'x.pkl')
    assert record['arguments'][3:] == [
        '--nproc-per-node=4',
        checkout.tool('test.py'),
        '--launcher',
        'pytorch',
        'c.py',
        'my epoch.pth',
        '--out',
        'x.pkl',
    ]


def test_several_machines_are_described_by_the_environment(checkout):
    machines = {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': '10.1.1.1', 'PORT': '29501'}
    record = checkout.recorded('dist_train.sh', 'c.py', '8', **machines)
    assert record['arguments'][1:6] == [
        '--nnodes=2',
        '--node-rank=1',
        '--master-addr=10.1.1.1',
        '--master-port=29501',
        '--nproc-per-node=8',
    ]


def test_several_machines_meet_at_the_port_of_mmdet_by_default(checkout):
    record = checkout.recorded('dist_train.sh', 'c.py', '8', NNODES='2', MASTER_ADDR='10.1.1.1')
    assert {'--node-rank=0', '--master-port=29500'} <= set(record['arguments'])


def test_a_port_asked_for_is_used_on_one_machine(checkout):
    record = checkout.recorded('dist_train.sh', 'c.py', '1', PORT='29777')
    assert {'--nnodes=1', '--master-addr=127.0.0.1', '--master-port=29777'} <= set(
        record['arguments']
    )


def test_python_is_the_one_named_then_the_repository_environment_then_the_active_one(checkout):
    environment = checkout.root / '.venv' / 'bin'
    environment.mkdir(parents=True)
    broken = checkout.bin / 'python'
    broken.write_text('#!/bin/bash\nexit 77\n')
    assert checkout.run('dist_train.sh', 'c.py', '1').returncode == 77
    shutil.copy(checkout.bin / 'srun', environment / 'python')
    checkout.recorded('dist_train.sh', 'c.py', '1')
    (environment / 'python').write_text('#!/bin/bash\nexit 78\n')
    assert checkout.run('dist_train.sh', 'c.py', '1').returncode == 78
    checkout.recorded('dist_train.sh', 'c.py', '1', PYTHON=str(checkout.bin / 'my python'))


def test_one_thread_per_process_without_a_gpu_unless_asked_for(checkout):
    assert checkout.recorded('dist_train.sh', 'c.py', '2')['OMP_NUM_THREADS'] == '1'
    record = checkout.recorded('dist_train.sh', 'c.py', '2', OMP_NUM_THREADS='3')
    assert record['OMP_NUM_THREADS'] == '3'


def test_threads_are_left_alone_with_a_gpu_that_may_be_used(checkout):
    listing = checkout.bin / 'nvidia-smi'
    listing.write_text('#!/bin/bash\necho "GPU 0: model (UUID: x)"\n')
    listing.chmod(0o755)
    assert checkout.recorded('dist_train.sh', 'c.py', '1')['OMP_NUM_THREADS'] is None
    hidden = checkout.recorded('dist_train.sh', 'c.py', '1', CUDA_VISIBLE_DEVICES='')
    assert hidden['OMP_NUM_THREADS'] == '1'


def test_slurm_training_passes_resources_paths_and_arguments(checkout):
    record = checkout.recorded(
        'slurm_train.sh', 'gpu', 'my job', 'my config.py', 'my runs', '--amp', 'two words',
        GPUS='16', GPUS_PER_NODE='4', CPUS_PER_TASK='7',
        SRUN_ARGS='--time=1:00:00 --mem=9G', PY_ARGS='--resume --cfg-options a=1',
    )  # fmt: skip
    assert record['arguments'] == [
        '--partition=gpu',
        '--job-name=my job',
        '--gres=gpu:4',
        '--ntasks=16',
        '--ntasks-per-node=4',
        '--cpus-per-task=7',
        '--kill-on-bad-exit=1',
        '--time=1:00:00',
        '--mem=9G',
        'python',
        '-u',
        checkout.tool('train.py'),
        '--launcher',
        'slurm',
        'my config.py',
        '--work-dir',
        'my runs',
        '--amp',
        'two words',
        '--resume',
        '--cfg-options',
        'a=1',
    ]


@pytest.mark.parametrize(
    ('gpus', 'expected'),
    [(None, ('8', '8', '5')), ('4', ('4', '4', '5')), ('32', ('32', '8', '5'))],
)
def test_slurm_testing_has_defaults_for_its_resources(checkout, gpus, expected):
    environment = {} if gpus is None else {'GPUS': gpus}
    arguments = checkout.recorded('slurm_test.sh', 'p', 'j', 'c.py', 'e.pth', **environment)[
        'arguments'
    ]
    ntasks, per_node, cpus = expected
    assert arguments[2:6] == [
        f'--gres=gpu:{per_node}',
        f'--ntasks={ntasks}',
        f'--ntasks-per-node={per_node}',
        f'--cpus-per-task={cpus}',
    ]
    assert arguments[-4:] == ['--launcher', 'slurm', 'c.py', 'e.pth']


@pytest.mark.parametrize(
    ('script', 'needed'),
    [('dist_train.sh', 2), ('dist_test.sh', 3), ('slurm_train.sh', 4), ('slurm_test.sh', 4)],
)
def test_a_missing_argument_prints_the_usage_and_ends_with_2(checkout, script, needed):
    for count in range(needed):
        run = checkout.run(script, *['1'] * count)
        assert run.returncode == 2
        assert run.stderr.startswith('Usage: bash ')
        assert run.stderr.count('\n') == 1
    assert not checkout.record.exists()


@pytest.mark.parametrize('gpus', ['0', 'all', '-1', '2x', ''])
def test_a_number_of_processes_that_is_none_is_one_line(checkout, gpus):
    run = checkout.run('dist_train.sh', 'c.py', gpus)
    assert run.returncode == 2
    assert run.stderr.startswith('error: GPUS must be a number')
    assert not checkout.record.exists()


@pytest.mark.parametrize(
    ('body', 'status', 'ending'),
    [
        ("sys.exit('error: the annotation file is missing')", 1, 'process 0 ended with status 1'),
        ('os.kill(os.getpid(), 9)', 137, 'process 0 was killed by SIGKILL'),
        ("print(os.environ['WORLD_SIZE'])", 0, ''),
    ],
    ids=['error', 'killed', 'success'],
)
def test_the_launcher_adds_no_traceback_to_what_a_process_said(checkout, body, status, ending):
    (checkout.root / 'tools' / 'train.py').write_text(f'import os, sys\n{body}\n')
    run = checkout.run('dist_train.sh', 'c.py', '1', PYTHON=sys.executable)
    assert run.returncode == status
    assert 'Traceback' not in run.stderr
    assert ending in run.stderr
    if status == 1:
        assert 'error: the annotation file is missing' in run.stderr.splitlines()
    if status == 0:
        assert run.stdout == '1\n'


def test_exit_codes_are_put_into_words():
    assert describe(3) == 'ended with status 3'
    assert describe(-15) == 'was killed by SIGTERM'
    assert 'memory' in describe(-9)
