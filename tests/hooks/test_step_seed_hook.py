import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from plugins.hooks import StepSeedHook
from tests.hooks.short_run import EPOCHS, ITERS, Run, same_state, without_waiting


def _draws(seed=0, iteration=0):
    runner = SimpleNamespace(seed=seed, iter=iteration)
    StepSeedHook().before_train_iter(runner, batch_idx=0)
    return float(torch.rand(())), float(np.random.rand()), random.random()


def test_draws_depend_on_seed_and_iteration_alone():
    first = _draws(3, 10)
    _draws(3, 11)
    torch.rand(7), np.random.rand(5), random.random()
    assert _draws(3, 10) == first
    others = [_draws(3, 11), _draws(4, 10), _draws(2**31, 10**6)]
    for column in zip(first, *others, strict=True):
        assert len(set(column)) == 4


def test_ranks_draw_different_numbers(monkeypatch):
    first = _draws()
    monkeypatch.setattr('plugins.hooks.step_seed_hook.get_rank', lambda: 1)
    assert not set(_draws()) & set(first)


@pytest.mark.parametrize('loop', [EPOCHS, ITERS], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('has_hook', [True, False], ids=['with the hook', 'without'])
def test_resumed_run_drops_out_what_an_undisturbed_one_does(tmp_path, monkeypatch, loop, has_hook):
    without_waiting(monkeypatch)
    hooks = [dict(type='StepSeedHook')] if has_hook else []
    whole = Run(tmp_path / 'whole', loop, hooks).train()
    run = Run(tmp_path / 'killed', loop, hooks)
    run.train(dies_in_step=8)
    resumed = run.train(resume=True)
    assert same_state(resumed.model.state_dict(), whole.model.state_dict()) == has_hook
