"""Every experiment config resolves, builds, and trains and tests at a fraction of its width."""

import copy
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmdet.registry import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    TRANSFORMS,
)
from plugins.errors import UserError
from plugins.runtime import check_top_level_keys
from tests.shrink import shrink
from tests.steps import build_detector, make_batch, test_step, train_step, without_gradient

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
REGISTRIES = (DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPERS, TRANSFORMS)

each_leaf = pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)


def _types(node):
    """Every `type` that a config names, except those of the model's parts (built as a whole)."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type']
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from _types(value)


@functools.cache
def _read(path: Path) -> Config:
    return Config.fromfile(path)


@pytest.fixture
def cfg(path) -> Config:
    """Return the resolved config of the leaf; reading it takes longer than most tests."""
    return copy.deepcopy(_read(path))


@each_leaf
def test_config_has_no_unknown_top_level_key(path, cfg):
    check_top_level_keys(cfg.keys(), path.name, strict=True)


@each_leaf
def test_everything_outside_the_model_is_registered(cfg):
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator'):
        for name in _types(cfg[key]):
            assert any(registry.get(name) for registry in REGISTRIES), f'{key}: {name}'
    for hook in (*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or [])):
        assert HOOKS.get(hook['type']), hook['type']


@each_leaf
def test_train_and_test_agree_on_data_and_evaluation(cfg):
    # What only writes the files of a submission tests images without annotations.
    parts = ['val'] if cfg.test_evaluator.get('format_only') else ['val', 'test']
    for part in parts:
        assert cfg[f'{part}_evaluator'] == cfg.val_evaluator
        assert cfg[f'{part}_dataloader'] == cfg.val_dataloader
    for part in ('val', 'test'):
        dataset, evaluator = cfg[f'{part}_dataloader'].dataset, cfg[f'{part}_evaluator']
        assert os.path.join(dataset.data_root, dataset.ann_file) == evaluator.ann_file


@each_leaf
def test_hooks_watch_what_the_evaluator_reports(cfg):
    """A best checkpoint or an early stop by a key that never comes would be none."""
    hooks = [cfg.default_hooks.checkpoint, *(cfg.get('custom_hooks') or [])]
    watched = [hook.get('save_best') or hook.get('monitor') for hook in hooks]
    caps = cfg.val_evaluator.get('max_dets', 300)
    caps = [caps] if isinstance(caps, int) else caps
    reported = {f'lvis/{iou}_AP_old@{n}' for iou in cfg.val_evaluator.metric for n in caps}
    assert {key for key in watched if key} <= reported
    assert all(hook.get('rule') == 'greater' for hook in hooks if 'save_best' in hook)


@each_leaf
def test_runtime_counts_what_the_schedule_counts(cfg):
    """Epochs or iterations: checkpoints, log lines and the decay of the rate have to agree."""
    by_epoch = cfg.train_cfg.type == 'EpochBasedTrainLoop'
    assert cfg.default_hooks.checkpoint.get('by_epoch', True) == by_epoch
    assert cfg.log_processor.by_epoch == by_epoch
    length = cfg.train_cfg.max_epochs if by_epoch else cfg.train_cfg.max_iters
    for decay in [s for s in cfg.param_scheduler if s.type == 'MultiStepLR']:
        assert decay.by_epoch == by_epoch
        assert decay.milestones == sorted(decay.milestones) and decay.milestones[-1] < length


@each_leaf
def test_shrunk_model_trains_two_steps_and_tests_an_image(cfg):
    torch.manual_seed(0)
    model = build_detector(shrink(cfg.model))
    batch = make_batch(cfg.num_classes, num_objects=1, num_images=2)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    for _ in range(2):
        losses = train_step(model, copy.deepcopy(batch))
        assert 0 < losses['loss'] < float('inf')
        assert not without_gradient(model)
        optimizer.step()
    found = test_step(model, make_batch(cfg.num_classes))[0].pred_instances
    assert torch.isfinite(found.bboxes).all() and torch.isfinite(found.scores).all()
    assert len(found.masks) == len(found.scores) > 0 and found.masks.cpu().shape[1:] == (128, 128)
    assert found.labels.min() >= 0 and found.labels.max() < cfg.num_classes


@each_leaf
def test_image_without_objects_trains_every_parameter(cfg):
    torch.manual_seed(0)
    model = build_detector(shrink(cfg.model))
    losses = train_step(model, make_batch(cfg.num_classes, size=64, num_objects=0, num_images=2))
    assert 0 <= losses['loss'] < float('inf')
    assert not without_gradient(model)


@each_leaf
def test_leaf_is_short_and_named_by_the_rule(path):
    assert len(path.read_text().splitlines()) <= 40
    assert re.fullmatch(r'[a-z0-9-]+(_[a-z0-9.-]+)+_[a-z0-9.-]+\.py', path.name)


@pytest.mark.parametrize(
    ('path', 'first_rate', 'iterations'),
    [
        ('_base_/schedules/180k', 1e-3, 1000),
        ('_base_/schedules/270k', 1e-3, 1000),
        ('devil_in_the_details/mask-rcnn_r50_fpn_sigmoid_rfs1e-3-ms-180k_lvis-v1', 1e-4, 10000),
    ],
)
def test_warm_up_starts_at_the_rate_of_the_paper(path, first_rate, iterations):
    cfg = Config.fromfile(ROOT / f'configs/{path}.py')
    warm_up = cfg.param_scheduler[0]
    rate = cfg.optim_wrapper.optimizer.lr * warm_up.start_factor
    assert rate == pytest.approx(first_rate) and warm_up.end == iterations


@pytest.mark.parametrize('key', ['trian_dataloader', 'optim_wraper', 'test_evalutor'])
def test_misspelt_key_is_an_error_that_names_the_right_one(key):
    with pytest.raises(UserError, match=f'{key!r}, did you mean'):
        check_top_level_keys(['model', key], 'x.py')


def test_names_of_ones_own_are_allowed_unless_strict():
    check_top_level_keys(['model', 'my_favourite_number'], 'x.py')
    with pytest.raises(UserError, match='my_favourite_number'):
        check_top_level_keys(['model', 'my_favourite_number'], 'x.py', strict=True)


def test_every_plugin_is_registered_by_one_import_in_a_fresh_process():
    """The classes decorated in the sources are those that `import plugins` makes available."""
    declared = set()
    for source in (ROOT / 'plugins').rglob('*.py'):
        pattern = r'@(\w+)\.register_module\(\)\nclass (\w+)'
        declared |= set(re.findall(pattern, source.read_text()))
    assert len(declared) >= 9
    code = (
        'import sys, plugins\n'
        'import mmdet.registry as registry\n'
        'for line in sys.stdin.read().split():\n'
        '    name, cls = line.split(":")\n'
        '    found = getattr(registry, name).get(cls)\n'
        '    assert found and found.__module__.startswith("plugins."), line\n'
        'print("all")'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        input='\n'.join(f'{registry}:{cls}' for registry, cls in declared),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == 'all', done.stderr
