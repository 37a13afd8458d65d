"""From a config file and command-line options to a runner that is ready to start."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmdet.registry import RUNNERS
from mmdet.utils import setup_cache_size_limit_of_dynamo
from plugins.errors import UserError
from plugins.runtime.config_keys import check_top_level_keys
from plugins.runtime.distributed import prepare_launch


def load_experiment(args: argparse.Namespace) -> Config:
    """Read the config that ``tools/train.py`` or ``tools/test.py`` was called with.

    Args:
        args: Has ``config``, ``work_dir``, ``cfg_options`` and ``launcher``, with the meaning they
            have in mmdet's tools.

    Returns:
        The config with the command line merged in and its ``work_dir`` settled: the command line
        first, then the config, then ``./work_dirs/<config name>``.

    Raises:
        UserError: The config is missing or has a misspelt top-level key.
    """
    if not Path(args.config).is_file():
        raise UserError(f'config {args.config} does not exist')
    try:
        cfg = Config.fromfile(args.config)
    except FileNotFoundError as error:
        raise UserError(
            f'config {args.config} inherits {error.filename}, which does not exist'
        ) from error
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    check_top_level_keys(cfg.keys(), args.config)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('./work_dirs', Path(args.config).stem)
    return cfg


def build_runner(cfg: Config, *, whole_checkpoint: bool) -> Runner:
    """Build the runner of a config and attach the checks every run makes before it starts.

    Args:
        cfg: A config from ``load_experiment``; changed in place where this machine demands it.
        whole_checkpoint: The checkpoint must cover the whole model (testing, resuming); otherwise
            it may cover a part of it (fine-tuning).

    Returns:
        The runner; ``train()`` or ``test()`` starts it.
    """
    setup_cache_size_limit_of_dynamo()
    prepare_launch(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    # With the scope in the name, a config without `default_scope` works as well.
    runner.register_hook(dict(type='mmdet.ClassCountHook'))
    runner.register_hook(dict(type='mmdet.CheckpointFitHook', whole=whole_checkpoint))
    runner.register_hook(dict(type='mmdet.TrainingCountsHook'))
    runner.register_hook(dict(type='mmdet.ResumeDataHook'))
    runner.register_hook(dict(type='mmdet.StepSeedHook'))
    return runner
