"""Test a detector: mmdet's tools/test.py with this repository's plugins and checks."""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import DictAction

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line; flags and meanings are mmdet's."""
    parser = argparse.ArgumentParser(description='Test (and evaluate) a detector')
    parser.add_argument('config', help='test config file path')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--work-dir', help='where logs and metrics go; default ./work_dirs/<config name>'
    )
    parser.add_argument('--out', metavar='X.pkl', help='dump predictions for offline evaluation')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--show-dir',
        help='save painted images in <work dir>/<timestamp>/<this>, or in an absolute path',
    )
    parser.add_argument(
        '--wait-time', type=float, default=2, help='seconds between images of --show'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, as in tools/train.py',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--max-per-img',
        type=int,
        metavar='N',
        help='detections per image; without --dets-per-class AP_old@N is reported as well',
    )
    parser.add_argument(
        '--dets-per-class',
        type=int,
        metavar='K',
        help='report AP_fixed@K: the best K detections of every category over the whole set, and '
        'keep no more than the protocols need (goes well with --max-per-img 10000)',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with the images that a killed test of the same model, checkpoint and data set '
        'has not done (they are in <work dir>/results)',
    )
    parser.add_argument('--tta', action='store_true', help='test-time augmentation')
    # Older launchers pass the rank as a flag; torchrun uses the environment.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        parser.error('--out must end in .pkl or .pickle')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the test that the command line describes; returns the exit code."""
    args = parse_args(argv)
    import plugins  # noqa: F401  before anything that imports mmdet.models
    from mmdet.engine.hooks.utils import trigger_visualization_hook
    from plugins.runtime import (
        build_runner,
        dump_predictions,
        limit_detections,
        load_experiment,
        report_user_errors,
    )
    from plugins.test_time import use_test_time_augmentation

    on_interrupt = 'with --resume a test scored by LVISProtocolMetric goes on where it was'
    with report_user_errors(after_interrupt=on_interrupt):
        cfg = load_experiment(args)
        cfg.load_from = args.checkpoint
        cfg.resume = False
        if args.show or args.show_dir:
            cfg = trigger_visualization_hook(cfg, args)
        if args.tta:
            use_test_time_augmentation(cfg)
        limit_detections(cfg, max_per_img=args.max_per_img, dets_per_class=args.dets_per_class)
        runner = build_runner(cfg, whole_checkpoint=True)
        runner.register_hook(dict(type='mmdet.StreamedResultsHook', resume=args.resume))
        if args.out is not None:
            dump_predictions(runner.test_evaluator, args.out)
        runner.test()
    return 0


if __name__ == '__main__':
    sys.exit(main())
