"""Set-up of the environment with stand-ins for Python, pip, uv and df: nothing is installed."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

# Answers like a Python of FAKE_VERSION; `-m venv` copies it, and its pip writes down what it does.
FAKE_PYTHON = r"""#!/bin/bash
log() { printf '%s\n' "$*" >>"$FAKE_LOG"; }
case "$1 $2" in
    '-c '*_base_executable*)
        [ "$FAKE_VERSION" != broken ] || { echo 'pyenv: command not found' >&2; exit 127; }
        printf '%s %s\n' "${FAKE_VERSION:-3.12}" "$FAKE_BASE" ;;
    '-c import cv2') [ -z "$FAKE_CV2" ] || { echo "ImportError: $FAKE_CV2" >&2; exit 1; } ;;
    '-m venv')
        log "venv $3"
        [ -z "$FAKE_NO_VENV" ] || { echo 'ensurepip is not available'; exit 1; }
        mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && : >"$3/pyvenv.cfg" ;;
    '-m pip')
        [ "${*: -1}" != uv ] || { log 'pip install uv'; exit 1; }
        case "$*" in
            *install*) log "pip install ${*: -1}"; exit "${FAKE_PIP_STATUS:-0}" ;;
            *'config get'*) exit 1 ;;
        esac ;;
    '- '*) cat | "$REAL_PYTHON" - "${@:2}" ;;
    *) log "unexpected: $*"; exit 99 ;;
esac
"""

FAKE_UV = r"""#!/bin/bash
case "$1" in
    --version) exit "${FAKE_UV_BROKEN:-0}" ;;
    venv)
        printf 'uv %s\n' "$*" >>"$FAKE_LOG"
        mkdir -p "${*: -1}/bin"
        cp "$FAKE_BASE" "${*: -1}/bin/python"
        : >"${*: -1}/pyvenv.cfg" ;;
    *) printf 'uv %s\n' "$*" >>"$FAKE_LOG"; exit "${FAKE_UV_STATUS:-0}" ;;
esac
"""


FAKE_DF = """#!/bin/bash
echo 'Filesystem 1024-blocks Used Available Capacity Mounted'
echo "/dev/x 9 9 ${FAKE_FREE_KB:-99999999} 9% /"
"""


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Checkout:
    """A copy of the set-up script with stand-ins on its PATH."""

    def __init__(self, root: Path, folder: Path):
        self.folder = folder / 'a checkout'
        self.bin = folder / 'bin'
        self.log_file = folder / 'log'
        self.venv = self.folder / '.venv'
        self.python = self.bin / 'python3.12'
        write_script(self.python, FAKE_PYTHON)
        write_script(self.bin / 'df', FAKE_DF)
        self.requirements = self.folder / 'requirements.txt'
        (self.folder / 'tools').mkdir(parents=True)
        self.requirements.write_text('torch==2.11.0\n')
        script = (root / 'tools' / 'setup_env.sh').read_text()
        (self.folder / 'tools' / 'setup_env.sh').write_text(script)
        (folder / 'elsewhere').mkdir()

    def run(self, **environment: str) -> subprocess.CompletedProcess:
        """Set up from another directory; only the stand-ins and the system's own tools are seen."""
        self.log_file.write_text('')
        return subprocess.run(
            ['/bin/bash', str(self.folder / 'tools' / 'setup_env.sh')],
            cwd=self.folder.parent / 'elsewhere',
            env={
                'PATH': f'{self.bin}:/usr/bin:/bin',
                'HOME': str(self.folder.parent),
                'FAKE_LOG': str(self.log_file),
                'FAKE_BASE': str(self.python),
                'REAL_PYTHON': sys.executable,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def log(self) -> list[str]:
        return self.log_file.read_text().splitlines()

    def add_uv(self) -> None:
        write_script(self.bin / 'uv', FAKE_UV)


@pytest.fixture
def checkout(root, tmp_path):
    return Checkout(root, tmp_path)


def assert_one_sentence(run: subprocess.CompletedProcess, *fragments: str) -> None:
    assert run.returncode == 1
    assert run.stdout == ''
    last = run.stderr.splitlines()[-1]
    assert last.startswith('error: '), run.stderr
    assert run.stderr.count('error: ') == 1
    for fragment in fragments:
        assert fragment in last


def test_first_run_installs_with_uv_and_prints_the_interpreter_alone(checkout):
    checkout.add_uv()
    run = checkout.run()
    python = checkout.venv / 'bin' / 'python'
    assert (run.returncode, run.stdout) == (0, f'{python}\n'), run.stderr
    assert checkout.log == [
        f'venv {checkout.venv}',
        f'uv pip install --python {python} -r {checkout.requirements}',
    ]


def test_second_run_does_nothing(checkout):
    checkout.add_uv()
    first = checkout.run()
    second = checkout.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, first.stdout, '')
    assert checkout.log == []


def test_changed_requirements_are_installed_into_the_same_environment(checkout):
    checkout.add_uv()
    checkout.run()
    checkout.requirements.write_text('torch==2.12.0\n')
    assert checkout.run().returncode == 0
    assert [line.split()[0] for line in checkout.log] == ['uv']
    assert checkout.run().returncode == 0
    assert checkout.log == []


def test_pip_takes_over_when_uv_cannot_be_had(checkout):
    run = checkout.run()
    assert run.returncode == 0
    assert checkout.log[1:] == ['pip install uv', f'pip install {checkout.requirements}']


def test_pip_takes_over_when_uv_fails(checkout):
    checkout.add_uv()
    assert checkout.run(FAKE_UV_STATUS='2').returncode == 0
    assert [line.split()[0] for line in checkout.log] == ['venv', 'uv', 'pip']


def test_a_uv_that_does_not_run_counts_as_absent(checkout):
    checkout.add_uv()
    assert checkout.run(FAKE_UV_BROKEN='1').returncode == 0
    assert checkout.log[1] == 'pip install uv'


def test_failed_installation_is_one_sentence_and_the_next_run_continues(checkout):
    assert_one_sentence(
        checkout.run(FAKE_PIP_STATUS='1'), "'install requirements.txt'", 'network', 'again'
    )
    run = checkout.run()
    assert run.returncode == 0
    assert not [line for line in checkout.log if line.startswith('venv')]


def test_stopped_installation_is_done_anew_because_half_a_package_looks_installed(checkout):
    checkout.add_uv()
    checkout.run(FAKE_UV_STATUS='130', FAKE_PIP_STATUS='1')
    assert checkout.run().returncode == 0
    assert '--reinstall' in checkout.log[-1]
    checkout.requirements.write_text('torch==2.12.0\n')
    checkout.run()
    assert '--reinstall' not in checkout.log[-1]


def test_unwritable_folder_is_one_sentence(checkout, tmp_path):
    (tmp_path / 'file').touch()
    assert_one_sentence(checkout.run(MMTAIL_VENV=str(tmp_path / 'file' / 'env')), 'cannot write')


def test_environment_whose_making_was_interrupted_is_made_again(checkout):
    (checkout.venv / 'bin').mkdir(parents=True)
    (checkout.venv / '.mmtail-lock').touch()
    leftover = checkout.venv / 'leftover'
    leftover.touch()
    assert checkout.run().returncode == 0
    assert checkout.log[0] == f'venv {checkout.venv}'
    assert not leftover.exists()


def test_environment_made_by_the_user_is_completed_not_replaced(checkout):
    write_script(checkout.venv / 'bin' / 'python', FAKE_PYTHON)
    (checkout.venv / 'pyvenv.cfg').touch()
    assert checkout.run().returncode == 0
    assert not [line for line in checkout.log if line.startswith('venv')]


def test_folder_that_is_no_environment_is_left_alone(checkout, tmp_path):
    photos = tmp_path / 'photos'
    photos.mkdir()
    (photos / 'a.jpg').touch()
    assert_one_sentence(checkout.run(MMTAIL_VENV=str(photos)), str(photos), 'MMTAIL_VENV')
    assert [path.name for path in photos.iterdir()] == ['a.jpg']


def test_environment_goes_where_the_user_wants(checkout, tmp_path):
    run = checkout.run(MMTAIL_VENV='my env')
    assert run.stdout == f'{tmp_path}/elsewhere/my env/bin/python\n'
    assert not checkout.venv.exists()


def test_another_python_asked_for_makes_the_environment_anew(checkout):
    checkout.run()
    other = checkout.bin / 'other python'
    write_script(other, FAKE_PYTHON.replace('${FAKE_VERSION:-3.12}', '3.13'))
    checkout.run(PYTHON=str(other), FAKE_BASE=str(other))
    assert checkout.log[0] == f'venv {checkout.venv}'


@pytest.mark.parametrize('version', ['3.9', '3.10', '3.14', '2.7', 'broken'])
def test_unsuitable_python_is_one_sentence(checkout, version):
    run = checkout.run(FAKE_VERSION=version, PYTHON=str(checkout.python))
    found = 'does not run' if version == 'broken' else version
    assert_one_sentence(run, '3.11, 3.12 or 3.13', found, 'PYTHON=')
    assert not checkout.venv.exists()


def test_shim_that_does_not_run_is_passed_over(checkout):
    write_script(checkout.bin / 'python3.13', FAKE_PYTHON)
    write_script(checkout.python, '#!/bin/bash\nexit 127\n')
    run = checkout.run(FAKE_BASE=str(checkout.bin / 'python3.13'))
    assert run.returncode == 0, run.stderr


def test_missing_venv_module_is_one_sentence(checkout):
    assert_one_sentence(checkout.run(FAKE_NO_VENV='1'), 'venv module', 'python3.12-venv')


def test_uv_makes_the_environment_where_the_venv_module_is_missing(checkout):
    checkout.add_uv()
    run = checkout.run(FAKE_NO_VENV='1')
    assert run.returncode == 0, run.stderr
    assert f'--python {checkout.python} {checkout.venv}' in checkout.log[1]


def test_full_disk_is_one_sentence_before_anything_is_installed(checkout):
    assert_one_sentence(checkout.run(FAKE_FREE_KB='2097152'), '6 GB', '2048 MB free', 'MMTAIL_VENV')
    assert checkout.log == []


def test_missing_system_library_is_one_sentence(checkout):
    run = checkout.run(FAKE_CV2='libGL.so.1: cannot open shared object file')
    assert_one_sentence(run, 'libGL.so.1', 'apt install libgl1')
    assert checkout.run().returncode == 0


def test_mirror_of_pip_is_handed_to_uv(checkout):
    write_script(checkout.bin / 'uv', FAKE_UV.replace('"$*" >>', '"$UV_DEFAULT_INDEX" >>'))
    checkout.run(PIP_INDEX_URL='https://mirror.example/simple')
    assert checkout.log[-1] == 'uv https://mirror.example/simple'


@pytest.mark.skipif(not os.access('/usr/bin/flock', os.X_OK), reason='flock is not installed')
def test_two_set_ups_at_once_install_once(checkout):
    slow = FAKE_UV.replace('*) printf', '*) sleep 1; printf')
    write_script(checkout.bin / 'uv', slow)
    checkout.log_file.write_text('')
    environment = {
        'PATH': f'{checkout.bin}:/usr/bin:/bin',
        'FAKE_LOG': str(checkout.log_file),
        'FAKE_BASE': str(checkout.python),
        'REAL_PYTHON': sys.executable,
    }
    command = ['/bin/bash', str(checkout.folder / 'tools' / 'setup_env.sh')]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=30) for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert outputs[0][0] == outputs[1][0] != b''
    assert sum(line.startswith('uv ') for line in checkout.log) == 1
