import pytest
import torch
from mmengine.hooks import Hook

from tests.hooks.short_run import AP, EPOCHS, ITERS, Run, without_waiting

SEEDED = dict(type='StepSeedHook')
CATCH_UP = dict(type='ResumeValidationHook')

each_loop = pytest.mark.parametrize('loop', [EPOCHS, ITERS], ids=['epochs', 'iterations'])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    without_waiting(monkeypatch)


class _Order(Hook):
    """Notes the order of training steps and validations."""

    def __init__(self):
        self.calls = []

    def before_train_iter(self, runner, **_):
        self.calls.append('train')

    def before_val(self, runner):
        self.calls.append('val')


def _run(tmp_path, loop=EPOCHS):
    return Run(tmp_path, loop, [SEEDED, CATCH_UP])


def _validations(runner):
    return runner.model.num_tests / 3


@each_loop
@pytest.mark.parametrize(
    ('end', 'done'),
    [
        (dict(dies_in_test=5), 2),  # in the second validation, whose checkpoint is from before it
        (dict(dies_in_step=8), 2),  # after it: the checkpoint is still from before it
        (dict(dies_in_step=6), 1),  # before it; the first validation is made up for
    ],
)
def test_validation_that_the_checkpoint_does_not_know_comes_first(tmp_path, loop, end, done):
    run = _run(tmp_path, loop)
    run.train(**end)
    runner = run.train(resume=True)
    # Those of the parts of the run that are left, and the one that was lost.
    assert _validations(runner) == 6 - done + 1
    assert runner.iter == 18


@each_loop
def test_validation_that_the_checkpoint_knows_is_not_repeated(tmp_path, loop):
    run = _run(tmp_path, loop)
    # A new best, so the checkpoint is written again after the validation.
    run.cfg['default_hooks']['checkpoint'].update(save_best='lvis/found', rule='greater')
    killed = run.train(dies_in_step=8)
    name = 'epoch_2.pth' if loop is EPOCHS else 'iter_6.pth'
    validated = torch.load(tmp_path / name)['meta']['validated']
    best = killed.message_hub.get_info('best_ckpt')
    known = str(best).endswith(name)
    assert validated['iter'] == (6 if known else 3)
    assert _validations(run.train(resume=True)) == (4 if known else 5)


def test_best_checkpoint_is_not_missed(tmp_path):
    """A kill in the validation that finds the best: the resumed run keeps it all the same."""
    results = {}
    for name, end in (('whole', None), ('killed', dict(dies_in_test=8))):
        run = _run(tmp_path / name)
        run.cfg['default_hooks']['checkpoint'].update(save_best=AP, rule='greater')
        if end is not None:
            run.train(**end)
        runner = run.train(resume=end is not None)
        results[name] = (
            runner.message_hub.get_info('best_score'),
            sorted(path.name for path in (tmp_path / name).glob('*.pth')),
        )
    assert results['killed'] == results['whole']


@pytest.mark.parametrize(
    ('loop', 'end', 'repeated'),
    [
        (dict(EPOCHS, val_interval=2), dict(dies_in_step=11), 0),  # epoch 3
        (dict(EPOCHS, val_interval=2), dict(dies_in_step=8), 1),  # epoch 2
        (dict(EPOCHS, val_begin=4), dict(dies_in_step=11), 0),
        (dict(EPOCHS, val_interval=9), dict(dies_in_test=2), 1),  # the last epoch
        (dict(EPOCHS, dynamic_intervals=[(2, 3)]), dict(dies_in_step=8), 0),
        (dict(EPOCHS, dynamic_intervals=[(2, 3)]), dict(dies_in_step=11), 1),
        (dict(ITERS, val_interval=6), dict(dies_in_step=11), 0),
        (dict(ITERS, val_interval=6), dict(dies_in_step=8), 1),
        (dict(ITERS, val_interval=7), dict(dies_in_test=7), 1),  # the last iteration
    ],
)
def test_only_a_validation_that_is_due_is_made_up_for(tmp_path, loop, end, repeated):
    run = _run(tmp_path, loop)
    run.train(**end)
    order = _Order()
    runner = run.build(resume=True)
    runner.register_hook(order)
    runner.train()
    first_step = order.calls.index('train') if 'train' in order.calls else None
    assert order.calls[:first_step] == ['val'] * repeated


def test_checkpoint_of_another_program_is_taken_as_it_is(tmp_path):
    run = _run(tmp_path)
    run.train(dies_in_step=8)
    checkpoint = torch.load(tmp_path / 'epoch_2.pth')
    del checkpoint['meta']['validated']
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    assert _validations(run.train(resume=True)) == 4


def test_run_that_starts_from_weights_does_not_begin_with_a_validation(tmp_path):
    run = _run(tmp_path)
    run.train(dies_in_step=8)
    started = run.train(load_from=str(tmp_path / 'epoch_2.pth'), dies_in_step=1)
    assert _validations(started) == 0
