import cv2
import pytest

from plugins.errors import UserError
from plugins.hooks import APCurveHook
from tests.hooks import short_run
from tests.hooks.short_run import AP, EPOCHS, ITERS, Run, hook_of, without_waiting

each_loop = pytest.mark.parametrize('loop', [EPOCHS, ITERS], ids=['epochs', 'iterations'])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    without_waiting(monkeypatch)


@pytest.fixture
def told(monkeypatch):
    texts = []
    monkeypatch.setattr(
        'plugins.hooks.ap_curve_hook.print_log', lambda text, **_: texts.append(text)
    )
    return texts


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn: unit, number of validations, path."""
    calls = []
    monkeypatch.setattr(
        'plugins.hooks.ap_curve_hook.draw_ap_curve',
        lambda history, unit, path: calls.append((unit, len(history), path)),
    )
    return calls


def _run(tmp_path, loop=EPOCHS, **options):
    kinds = ('StepSeedHook', 'ResumeValidationHook')
    hooks = [dict(type='APCurveHook', **options), *(dict(type=kind) for kind in kinds)]
    return Run(tmp_path, loop, hooks)


def _history(runner):
    return hook_of(runner, APCurveHook).history


@each_loop
def test_picture_has_a_point_for_every_validation(tmp_path, loop, drawn):
    runner = _run(tmp_path, loop).train()
    unit = 'epoch' if loop is EPOCHS else 'iteration'
    assert drawn == [(unit, n, tmp_path / 'ap_curve.png') for n in range(1, 7)]
    times = [validation.at for validation in _history(runner)]
    assert times == ([1, 2, 3, 4, 5, 6] if loop is EPOCHS else [3, 6, 9, 12, 15, 18])
    assert set(_history(runner)[0].values) == {AP, AP.replace('AP_', 'APr_')}


def test_picture_is_drawn(tmp_path, told):
    _run(tmp_path, filename='curve.png').train(dies_in_step=4)
    assert cv2.imread(str(tmp_path / 'curve.png')).size > 0 and told == []


@each_loop
@pytest.mark.parametrize('end', [dict(dies_in_step=11), dict(dies_in_test=8)])
def test_resumed_run_goes_on_with_the_curve(tmp_path, loop, end, drawn):
    whole = _run(tmp_path / 'whole', loop).train()
    run = _run(tmp_path / 'killed', loop)
    run.train(**end)
    resumed = run.train(resume=True)
    assert len(_history(resumed)) == 6 and _history(resumed) == _history(whole)
    assert drawn[-1][1] == 6


def test_new_run_from_weights_starts_a_new_curve(tmp_path, drawn):
    run = _run(tmp_path)
    run.train(dies_in_step=8)
    started = run.train(load_from=str(tmp_path / 'epoch_2.pth'), dies_in_step=4)
    assert [validation.at for validation in _history(started)] == [1]


def test_validation_that_is_repeated_replaces_its_point(tmp_path, drawn):
    runner = _run(tmp_path).train(dies_in_step=8)
    runner.call_hook('after_val_epoch', metrics={AP: 0.25})
    assert [validation.at for validation in _history(runner)] == [1, 2]
    assert _history(runner)[-1].values == {AP: 0.25}


def test_picture_that_cannot_be_drawn_is_one_warning(tmp_path, told):
    (tmp_path / 'ap_curve.png').mkdir()
    (tmp_path / 'ap_curve.png/file').touch()
    runner = _run(tmp_path).train(dies_in_step=8)
    assert len(_history(runner)) == 2
    assert len(told) == 1 and 'ap_curve.png was not drawn: ' in told[0]
    assert not list(tmp_path.glob('.*'))


def test_validation_without_any_ap_is_one_warning(tmp_path, told, monkeypatch):
    monkeypatch.setattr(short_run.Score, 'compute_metrics', lambda *_: {'segm_AP': -1.0})
    assert _run(tmp_path).train().iter == 18
    assert told == ['the validation reports no AP that could be drawn']


def test_other_processes_keep_the_curve_but_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr('plugins.hooks.ap_curve_hook.is_main_process', lambda: False)
    runner = _run(tmp_path).train()
    assert len(_history(runner)) == 6 and not (tmp_path / 'ap_curve.png').exists()


def test_plain_test_draws_nothing(tmp_path):
    runner = _run(tmp_path).build()
    runner.test()
    assert not (tmp_path / 'ap_curve.png').exists() and _history(runner) == []


def test_type_of_file_is_checked_at_the_start():
    with pytest.raises(UserError, match=r"must end in one of \.png, \.pdf, \.svg: 'curve\.gif'"):
        APCurveHook('curve.gif')
