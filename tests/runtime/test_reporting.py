import os
import signal

import pytest
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset

from plugins.annotations import AnnotationError
from plugins.checkpoints import CheckpointError
from plugins.errors import UserError
from plugins.runtime import report_user_errors


@pytest.fixture(autouse=True)
def child_signal():
    """The handler of ended child processes is the same for the next test."""
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, handler)


def _raise_from(error, cause):
    try:
        raise cause
    except type(cause):
        raise error from cause


def _raise_during(error, first):
    try:
        raise first
    finally:
        raise error


@pytest.mark.parametrize('kind', [UserError, AnnotationError, CheckpointError])
def test_users_error_is_one_line_and_status_one(kind, capsys):
    with pytest.raises(SystemExit) as end, report_user_errors():
        raise kind('val.json: image 7 is missing')
    assert end.value.code == 1
    captured = capsys.readouterr()
    assert captured.err == 'error: val.json: image 7 is missing\n' and captured.out == ''


@pytest.mark.parametrize('chain', [_raise_from, _raise_during], ids=['cause', 'context'])
def test_users_error_inside_another_is_found(chain, capsys):
    with pytest.raises(SystemExit) as end, report_user_errors():
        chain(RuntimeError('class `X` in y.py: ...'), UserError('set num_classes=7'))
    assert end.value.code == 1
    assert capsys.readouterr().err == 'error: set num_classes=7\n'


def test_users_error_is_found_several_causes_deep(capsys):
    def build():
        _raise_from(KeyError('inner'), AnnotationError('train.json is empty'))

    with pytest.raises(SystemExit), report_user_errors():
        try:
            build()
        except KeyError as error:
            raise RuntimeError('outer') from error
    assert capsys.readouterr().err == 'error: train.json is empty\n'


@pytest.mark.parametrize('error', [ValueError('a bug'), RuntimeError('CUDA'), AssertionError()])
def test_other_errors_pass_with_their_traceback(error, capsys):
    with pytest.raises(type(error)) as caught, report_user_errors():
        raise error
    assert caught.value is error
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    ('advice', 'line'), [('', 'interrupted\n'), ('add --resume', 'interrupted; add --resume\n')]
)
def test_interrupt_ends_with_the_status_of_a_signal_and_one_line(capsys, advice, line):
    with pytest.raises(SystemExit) as end, report_user_errors(after_interrupt=advice):
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == line


def test_exit_codes_of_the_program_itself_are_kept():
    with pytest.raises(SystemExit) as end, report_user_errors():
        raise SystemExit(3)
    assert end.value.code == 3


def test_nothing_is_printed_when_all_is_well(capsys):
    with report_user_errors():
        pass
    assert capsys.readouterr().err == ''


class _Broken(Dataset):
    """A data set that ends with an error."""

    def __init__(self, end):
        self.end = end

    def __len__(self):
        return 1

    def __getitem__(self, index):
        self.end()


def _reraise(end):
    """Do what a data loader does with an error of a worker, without starting one."""
    try:
        end()
    except Exception:
        ExceptionWrapper(where='in DataLoader worker process 0').reraise()


def _raise_inside():
    try:
        raise KeyError('inner')
    except KeyError as error:
        raise AnnotationError('train.json: image 7 is broken; mend it') from error


def _raise_with_other_arguments():
    raise _TwoWordsError('instances', 'are missing')


def _raise_around():
    try:
        raise UserError('set num_classes=7')
    except UserError as error:
        raise RuntimeError('outer') from error


class _TwoWordsError(UserError):
    """Cannot be made from one text, so that torch raises a RuntimeError instead."""

    def __init__(self, first, second):
        super().__init__(f'{first} {second}')


@pytest.mark.parametrize(
    ('end', 'line'),
    [
        (_raise_inside, 'error: train.json: image 7 is broken; mend it\n'),
        (_raise_with_other_arguments, 'error: instances are missing\n'),
        (_raise_around, 'error: set num_classes=7\n'),
    ],
)
def test_users_error_in_a_worker_is_the_same_line(end, line, capsys):
    with pytest.raises(SystemExit) as stop, report_user_errors():
        _reraise(end)
    assert stop.value.code == 1
    assert capsys.readouterr().err == line


def test_users_error_in_a_real_worker_is_one_line(capsys):
    with pytest.raises(SystemExit), report_user_errors():
        list(DataLoader(_Broken(_raise_inside), num_workers=1))
    assert capsys.readouterr().err == 'error: train.json: image 7 is broken; mend it\n'


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        (
            'DataLoader worker (pid 17) is killed by signal: Bus error. It is possible that '
            "dataloader's workers are out of shared memory. Please try to raise your limit.",
            '(DataLoader worker (pid 17) is killed by signal: Bus error)',
        ),
        (
            'DataLoader worker (pid(s) 17, 18) exited unexpectedly',
            '(DataLoader worker (pid(s) 17, 18) exited unexpectedly)',
        ),
        (
            'DataLoader worker (pid 17) exited unexpectedly with exit code 3. Details are lost',
            '(DataLoader worker (pid 17) exited unexpectedly with exit code 3)',
        ),
        (
            'Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent '
            'call last):\n  File "a.py", line 1\nRuntimeError: unable to write to file '
            '</torch_1_2_3>: No space left on device (28)\n',
            '(unable to write to file </torch_1_2_3>: No space left on device (28))',
        ),
        (
            '[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer '
            '[127.0.0.1]:1',
            'another process of this distributed run came to an end',
        ),
    ],
)
def test_torchs_other_words_for_a_lost_process_are_understood(text, part, capsys):
    with pytest.raises(SystemExit), report_user_errors():
        raise RuntimeError(text)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and part in line


def _raise_a_bug():
    raise ValueError('plugins.errors.UserError is mentioned: DataLoader worker')


def test_a_bug_in_a_worker_keeps_its_traceback(capsys):
    with pytest.raises(ValueError, match='Original Traceback'), report_user_errors():
        _reraise(_raise_a_bug)
    assert capsys.readouterr().err == ''


def test_a_second_lost_worker_does_not_disturb_the_report(capsys):
    def raise_again(*_):
        raise RuntimeError('DataLoader worker (pid 18) is killed by signal: Killed. ')

    signal.signal(signal.SIGCHLD, raise_again)
    with pytest.raises(SystemExit) as stop, report_user_errors():
        raise RuntimeError('DataLoader worker (pid 17) is killed by signal: Killed. ')
    os.kill(os.getpid(), signal.SIGCHLD)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert '(DataLoader worker (pid 17) is killed by signal: Killed)' in line
