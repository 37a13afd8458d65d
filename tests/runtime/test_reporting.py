import pytest

from plugins.annotations import AnnotationError
from plugins.checkpoints import CheckpointError
from plugins.errors import UserError
from plugins.runtime import report_user_errors


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
