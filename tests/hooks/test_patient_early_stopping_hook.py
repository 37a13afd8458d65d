import json
import math

import pytest
import torch

from plugins.errors import UserError
from plugins.hooks import PatientEarlyStoppingHook
from tests.hooks import short_run
from tests.hooks.short_run import AP, EPOCHS, ITERS, Run, hook_of, without_waiting

SCORES = [0.3, 0.31, 0.3102, 0.31, 0.3104, 0.4]  # the best is the second

each_loop = pytest.mark.parametrize('loop', [EPOCHS, ITERS], ids=['epochs', 'iterations'])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    without_waiting(monkeypatch)


@pytest.fixture
def scores(monkeypatch):
    """Let the n-th validation of a training, counted by its steps, report the n-th score."""
    numbers = list(SCORES)

    def compute(metric, results):
        network = metric.runner.model
        return {'segm_AP_old@300': numbers[int(network.counts[1]) // 3 - 1], 'segm_APr': 0.5}

    monkeypatch.setattr(short_run.Score, 'compute_metrics', compute)
    return numbers


def _run(tmp_path, loop=EPOCHS, **options):
    hooks = [dict(type='PatientEarlyStoppingHook', **options), dict(type='ResumeValidationHook')]
    return Run(tmp_path, loop, hooks)


def _build(run, **options):
    runner = run.build(**options)
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    runner.val_evaluator.metrics[0].runner = runner
    return runner


def _train(run, dies_in_step=None, dies_in_test=None, **options):
    runner = _build(run, **options)
    runner.model.dies_in_step, runner.model.dies_in_test = dies_in_step, dies_in_test
    try:
        runner.train()
    except KeyboardInterrupt:
        assert dies_in_step or dies_in_test
    return runner


def _state(tmp_path, name):
    return torch.load(tmp_path / name, weights_only=True)['meta']['early_stopping'][AP]


@pytest.fixture
def told(monkeypatch):
    texts = []
    monkeypatch.setattr(
        'plugins.hooks.patient_early_stopping_hook.print_log',
        lambda text, **_: texts.append(text),
    )
    return texts


@each_loop
def test_training_stops_when_patience_is_over_and_says_which_was_best(tmp_path, loop, scores, told):
    runner = _train(_run(tmp_path, loop, patience=3))
    assert runner.iter == 15
    when = ('epoch 5', 'epoch 2') if loop is EPOCHS else ('iter 15', 'iter 6')
    assert len(told) == 1 and told[0].startswith(f'early stopping at {when[0]}: {AP}')
    assert told[0].endswith(f'in 3 validations; the best was 0.3100 at {when[1]}')


@pytest.mark.parametrize(
    ('options', 'iterations'),
    [
        (dict(patience=1), 9),
        (dict(patience=2), 12),
        (dict(patience=4), 18),
        (dict(min_delta=0.0, patience=1), 12),
        (dict(min_delta=1.0, patience=1), 6),
        (dict(rule='less', patience=2), 9),
        (dict(patience=1, begin_epoch=3), 12),
        (dict(patience=1, min_epochs=4), 12),
        (dict(patience=2, min_epochs=6), 18),
        (dict(monitor=[AP, 'lvis/segm_APr'], patience=1, min_delta=0.004), 9),
    ],
)
def test_options(tmp_path, scores, options, iterations):
    assert _train(_run(tmp_path, **options)).iter == iterations


def test_counts_of_iterations_apply_to_a_run_by_iterations(tmp_path, scores):
    assert _train(_run(tmp_path, ITERS, patience=1, begin_iter=9)).iter == 12
    assert _train(_run(tmp_path / 'b', ITERS, patience=1, min_iters=10)).iter == 12


def test_scores_of_epochs_before_the_first_that_counts_are_not_the_best(tmp_path, scores):
    scores[0] = 0.9
    runner = _train(_run(tmp_path, patience=3, begin_epoch=2))
    plateau = hook_of(runner, PatientEarlyStoppingHook).plateau
    assert runner.iter == 15 and plateau.best_at == 2


def test_undefined_scores_count_as_bad_and_are_mentioned_once(tmp_path, scores, told):
    scores[:] = [0.3, -1, math.nan, math.nan, 0.4, 0.5]
    assert _train(_run(tmp_path, patience=3)).iter == 12
    assert [AP in text and 'undefined' in text for text in told] == [True, False]
    assert 'early stopping at epoch 4' in told[1]


def test_run_without_any_defined_score_stops_and_says_so(tmp_path, scores, told):
    scores[:] = [-1.0] * 6
    assert _train(_run(tmp_path)).iter == 9
    assert told[-1].endswith('none was defined')


def test_metric_that_is_not_reported_is_an_error_that_lists_those_that_are(tmp_path):
    with pytest.raises(UserError, match=r'lvis/segm_AP, .* reports lvis/found, lvis/segm_AP'):
        _run(tmp_path, monitor='lvis/segm_AP').train()


@each_loop
@pytest.mark.parametrize(
    'ends',
    [dict(dies_in_step=13), dict(dies_in_step=10), dict(dies_in_test=10), dict(dies_in_test=7)],
    ids=lambda end: '-'.join(f'{key}={value}' for key, value in end.items()),
)
def test_resumed_run_stops_when_an_undisturbed_one_does(tmp_path, loop, scores, ends):
    run = _run(tmp_path, loop, patience=3)
    stopped = _train(run, **ends)
    assert stopped.iter < 15
    resumed = _train(run, resume=True)
    assert resumed.iter == 15
    state = hook_of(resumed, PatientEarlyStoppingHook).plateau.state()
    assert state == dict(best=0.31, best_at=2 if loop is EPOCHS else 6, bad_count=3)


@each_loop
def test_stopped_run_stays_stopped_when_resumed(tmp_path, loop, scores):
    run = _run(tmp_path, loop, patience=3)
    _train(run)
    resumed = _train(run, resume=True)
    assert resumed.iter == 15 and resumed.model.num_steps == 0
    run.cfg['custom_hooks'][0]['patience'] = 4
    assert _train(run, resume=True).iter == 18


@each_loop
def test_best_checkpoint_and_the_one_rewritten_with_it_have_the_outcome(tmp_path, loop, scores):
    run = _run(tmp_path, loop)
    run.cfg['default_hooks']['checkpoint'].update(save_best=AP, rule='greater')
    _train(run, dies_in_step=8)
    now = dict(best=0.31, best_at=2 if loop is EPOCHS else 6, bad_count=0)
    name = 'epoch_2' if loop is EPOCHS else 'iter_6'
    assert _state(tmp_path, f'{name}.pth') == now
    assert _state(tmp_path, f'best_lvis_segm_AP_old@300_{name}.pth') == now


def test_two_hooks_keep_two_states(tmp_path, scores):
    run = _run(tmp_path)
    run.cfg['custom_hooks'].append(
        dict(type='PatientEarlyStoppingHook', monitor='lvis/segm_APr', patience=4)
    )
    _train(run, dies_in_step=10)
    resumed = _train(run, resume=True, dies_in_step=1)
    states = [h.plateau for h in resumed.hooks if isinstance(h, PatientEarlyStoppingHook)]
    assert [(s.best, s.bad_count) for s in states] == [(0.31, 1), (0.5, 2)]


def test_weights_alone_bring_no_state(tmp_path, scores):
    run = _run(tmp_path)
    _train(run, dies_in_step=10)
    started = _train(run, load_from=str(tmp_path / 'epoch_3.pth'), dies_in_step=1)
    assert hook_of(started, PatientEarlyStoppingHook).plateau.best is None


def test_resuming_a_run_that_knew_no_early_stopping_is_said(tmp_path, scores, told):
    run = _run(tmp_path)
    hooks, run.cfg['custom_hooks'] = run.cfg['custom_hooks'], []
    _train(run, dies_in_step=10)
    run.cfg['custom_hooks'] = hooks
    resumed = _train(run, resume=True)
    assert f'knows no best {AP}' in told[0]
    assert hook_of(resumed, PatientEarlyStoppingHook).plateau.best_at == 6


def test_plain_test_is_not_judged(tmp_path):
    run = _run(tmp_path, monitor='lvis/nothing')
    assert 'lvis/found' in run.build().test()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(monitor=[]), 'monitor must name a metric'),
        (dict(monitor=3), 'monitor must name a metric, or several: 3'),
        (dict(monitor=['lvis/segm_AP', '']), 'monitor must name a metric'),
        (dict(patience=0), 'patience must be an integer of 1 or more: 0'),
        (dict(patience=2.5), 'patience must be an integer of 1 or more: 2.5'),
        (dict(min_delta=-0.1), 'min_delta must be 0 or more'),
        (dict(min_delta=math.nan), 'min_delta must be 0 or more'),
        (dict(rule='max'), "rule must be 'greater' or 'less', not 'max'"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        PatientEarlyStoppingHook(**options)


@pytest.mark.parametrize(
    ('loop', 'options', 'message'),
    [
        (ITERS, dict(min_epochs=2), 'begin_epoch and min_epochs do not apply .* by iterations'),
        (EPOCHS, dict(begin_iter=2), 'begin_iter and min_iters do not apply .* by epochs'),
    ],
)
def test_unit_that_the_loop_does_not_count_is_an_error(tmp_path, loop, options, message):
    with pytest.raises(UserError, match=message):
        _run(tmp_path, loop, **options).train()


def test_state_is_plain_data(tmp_path, scores):
    _train(_run(tmp_path), dies_in_step=5)
    assert json.loads(json.dumps(_state(tmp_path, 'epoch_1.pth'))) == dict(
        best=None, best_at=None, bad_count=0
    )
