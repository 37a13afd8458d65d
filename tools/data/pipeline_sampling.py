"""The part of ``tools/data/stats.py`` that runs a training pipeline."""

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction

import plugins  # noqa: F401  before mmdet: it stands in for mmcv's compiled module
from plugins.errors import UserError
from plugins.runtime import report_user_errors
from tools.analysis.figures import console, save_json
from tools.data.pipeline_report import as_numbers, category_table, plot, summary_table
from tools.data.pipeline_statistics import pipeline_statistics


def sample_pipeline(args: argparse.Namespace) -> int:
    """Sample, print, write and plot what the command line asks for; returns the exit code.

    Files appear when they are complete; an interrupt leaves none.
    """
    with report_user_errors():
        config = _read_config(args)
        statistics = pipeline_statistics(
            config,
            args.variants,
            epochs=args.epochs,
            workers=args.workers,
            seed=args.seed,
            threshold=args.threshold,
            rare_max=args.rare_max,
            common_max=args.common_max,
        )
        screen = console()
        screen.print(category_table(statistics, args.rows))
        screen.print(summary_table(statistics))
        if args.json:
            numbers = {'config': args.config, 'seed': args.seed, **as_numbers(statistics)}
            save_json(numbers, Path(args.json))
        if args.out_dir:
            picture = Path(args.out_dir, 'pipeline.png')
            plot(statistics, Path(args.config).stem, picture)
            print(f'picture: {picture}')
    return 0


def _read_config(args: argparse.Namespace) -> Config:
    if not Path(args.config).is_file():
        raise UserError(f'config {args.config} does not exist')
    config = Config.fromfile(args.config)
    if args.cfg_options:
        options = argparse.ArgumentParser()
        options.add_argument('--cfg-options', nargs='+', action=DictAction)
        parsed = options.parse_args(['--cfg-options', *args.cfg_options])
        config.merge_from_dict(parsed.cfg_options)
    return config
