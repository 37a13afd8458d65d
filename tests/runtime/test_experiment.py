from types import SimpleNamespace

import pytest
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import Runner

from plugins.errors import UserError
from plugins.hooks import (
    CheckpointFitHook,
    ClassCountHook,
    ResumeDataHook,
    StepSeedHook,
    TrainingCountsHook,
)
from plugins.runtime import build_runner, load_experiment


@pytest.fixture
def config(tmp_path):
    path = tmp_path / 'my experiment.py'
    path.write_text("model = dict(type='MaskRCNN', depth=50)\ntrain_cfg = dict(max_epochs=12)\n")
    return path


def _args(config, **given):
    return SimpleNamespace(
        **{
            **dict(config=str(config), work_dir=None, cfg_options=None, launcher='none'),
            **given,
        }
    )


def test_work_dir_is_named_after_the_config(config):
    assert load_experiment(_args(config)).work_dir == './work_dirs/my experiment'


def test_work_dir_of_the_config_comes_before_its_name(config):
    config.write_text(config.read_text() + "work_dir = 'there'\n")
    assert load_experiment(_args(config)).work_dir == 'there'


def test_work_dir_of_the_command_line_comes_first(config):
    config.write_text(config.read_text() + "work_dir = 'there'\n")
    options = dict(work_dir='by option')
    assert load_experiment(_args(config, cfg_options=options)).work_dir == 'by option'
    args = _args(config, work_dir='by flag', cfg_options=options)
    assert load_experiment(args).work_dir == 'by flag'


def test_options_are_merged_and_the_launcher_is_noted(config):
    options = {'train_cfg.max_epochs': 2, 'model.type': 'CascadeRCNN'}
    cfg = load_experiment(_args(config, cfg_options=options, launcher='slurm'))
    assert cfg.train_cfg == dict(max_epochs=2) and cfg.launcher == 'slurm'
    assert cfg.model == dict(type='CascadeRCNN', depth=50)


def test_missing_config_is_named(tmp_path):
    with pytest.raises(UserError, match=r'config .*nowhere\.py does not exist'):
        load_experiment(_args(tmp_path / 'nowhere.py'))


@pytest.mark.parametrize('place', ['file', 'option'])
def test_misspelt_key_is_found_in_the_file_and_on_the_command_line(config, place):
    options = None
    if place == 'file':
        config.write_text(config.read_text() + 'trian_cfg = dict(max_epochs=1)\n')
    else:
        options = {'trian_cfg.max_epochs': 1}
    with pytest.raises(UserError, match=r"experiment\.py.*'trian_cfg', did you mean 'train_cfg'"):
        load_experiment(_args(config, cfg_options=options))


class _Runner:
    """Builds the hooks it is given as a runner of a config without `default_scope` does."""

    def __init__(self):
        self.hooks = {}

    def register_hook(self, config):
        with DefaultScope.overwrite_default_scope('mmengine'):
            hook = HOOKS.build(config)
        self.hooks[type(hook)] = hook


@pytest.mark.parametrize('whole', [True, False])
def test_runner_carries_the_checks_of_every_run(config, monkeypatch, whole):
    monkeypatch.setattr(Runner, 'from_cfg', lambda cfg: _Runner())
    hooks = build_runner(load_experiment(_args(config)), whole_checkpoint=whole).hooks
    assert set(hooks) == {
        CheckpointFitHook,
        ClassCountHook,
        ResumeDataHook,
        StepSeedHook,
        TrainingCountsHook,
    }
    assert hooks[CheckpointFitHook].whole is whole
