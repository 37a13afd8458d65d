"""Train a detector: mmdet's tools/train.py with this repository's plugins and checks."""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import DictAction

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; flags and meanings are mmdet's."""
    parser = argparse.ArgumentParser(description='Train a detector')
    parser.add_argument('config', help='train config file path')
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go; default ./work_dirs/<config name>'
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision (GPU only)')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by batch size / auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue from CHECKPOINT, or from the newest complete one of the work dir',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, for example train_cfg.max_epochs=2; lists as '
        'key="[a,b]" or key=a,b, nested ones quoted and without white space',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # Older launchers pass the rank as a flag; torchrun uses the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the training that the command line describes; returns the exit code."""
    args = parse_args(argv)
    import plugins  # noqa: F401  before anything that imports mmdet.models
    from plugins.checkpoints import latest_complete_checkpoint
    from plugins.runtime import (
        build_runner,
        load_experiment,
        report_user_errors,
        scale_learning_rate,
        use_mixed_precision,
    )

    hint = 'run the same command with --resume to continue'
    with report_user_errors(after_interrupt=hint):
        cfg = load_experiment(args)
        if args.amp:
            use_mixed_precision(cfg)
        if args.auto_scale_lr:
            scale_learning_rate(cfg)
        if args.resume == 'auto' or (cfg.get('resume') and cfg.get('load_from') is None):
            # mmengine would take the newest file, complete or not, and without one forget the
            # weights that the config starts from.
            newest = latest_complete_checkpoint(cfg.work_dir)
            cfg.resume = newest is not None
            cfg.load_from = newest or cfg.get('load_from')
            if newest is None:
                print(f'no complete checkpoint in {cfg.work_dir}: training starts anew')
        elif args.resume is not None:
            cfg.resume = True
            cfg.load_from = args.resume
        build_runner(cfg, whole_checkpoint=bool(cfg.get('resume'))).train()
    return 0


if __name__ == '__main__':
    sys.exit(main())
