"""Rename the tensors of a released detector checkpoint as this repository names them.

Reads checkpoints of mmdet 2 and 3, of the CBNetV2 and RefineMask releases, and of Swin detectors in
the layout of the Swin release; writes weights and class names alone, as load_from, tools/test.py
and tools/predict.py take them. Without --config nothing is compared but names of a known kind.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import DictAction

if TYPE_CHECKING:
    from torch import Tensor

    from plugins.checkpoints.conversion import Conversion


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', metavar='SRC', help='checkpoint to read; it is not changed')
    parser.add_argument('dst', metavar='DST', help='checkpoint to write; must not exist')
    parser.add_argument(
        '--num-backbones',
        type=int,
        metavar='K',
        help='give each of K networks of a composite backbone the weights of the single one',
    )
    parser.add_argument(
        '--cb-del-stages',
        type=int,
        default=1,
        metavar='D',
        help='cb_del_stages of that composite backbone (default: 1)',
    )
    parser.add_argument('--config', help='compare with the model of this config')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of --config, as in tools/test.py',
    )
    parser.add_argument(
        '--partial',
        action='store_true',
        help='leave out what is unknown or does not fit --config, instead of giving up',
    )
    parser.add_argument('--list', action='store_true', help='print old and new names of all')
    args = parser.parse_args(argv)
    args.launcher, args.work_dir = 'none', None  # as load_experiment wants them
    return args


def show(result: 'Conversion', count: int, *, every: bool) -> None:
    """Print what became of the tensors: an example of each kind, or all."""
    width = len(str(count))
    touched = set(result.unknown)
    for what, pairs in result.renamed.items():
        touched.update(pairs)
        print(f'renamed   {len(pairs):{width}}  {what}')
        show_lines([f'{old} -> {new}' for old, new in pairs.items()], None if every else 1)
    for what, names in result.left_out.items():
        touched.update(names)
        print(f'left out  {len(names):{width}}  {what}')
        show_lines(names, None if every else 1)
    print(f'unchanged {count - len(touched):{width}}')
    if result.unknown:
        print(f'unknown   {len(result.unknown):{width}}')
        show_lines(result.unknown, None if every else 5)


def show_lines(lines: list[str], most: int | None) -> None:
    """Print lines below a heading, not more than ``most`` of them."""
    for line in lines[:most]:
        print(f'          {line}')
    if most is not None and len(lines) > most > 1:
        print(f'          and {len(lines) - most} more; --list names them')


def fit(tensors: 'dict[str, Tensor]', args: argparse.Namespace) -> 'dict[str, Tensor]':
    """The tensors that the model of the config takes; names the others and what it misses.

    Raises:
        UserError: Some do not fit, and that was not allowed.
    """
    from mmdet.registry import MODELS
    from plugins.checkpoints import CheckpointError
    from plugins.checkpoints.conversion import compare
    from plugins.runtime import load_experiment

    model = load_experiment(args).model
    wanted = MODELS.build(model).state_dict()
    found = compare(tensors, wanted)
    most = None if args.list else 5
    print(f'{args.config}: {len(wanted)} tensors, {len(found.missing)} of them are not there')
    show_lines(found.missing, most)
    misfits = [
        f'{name} has the shape {tuple(tensors[name].shape)}, the model {tuple(wanted[name].shape)}'
        for name in found.reshaped
    ]
    misfits += [f'{name} is not of this model' for name in found.foreign]
    if misfits:
        print(f'{len(misfits)} do not fit')
        show_lines(misfits, most)
    kept = {n: v for n, v in tensors.items() if n not in {*found.reshaped, *found.foreign}}
    if not kept or (misfits and not args.partial):
        raise CheckpointError(
            f'{len(misfits)} of {len(tensors)} tensors do not fit {args.config} ({misfits[0]}); '
            'give the config of this model, or leave them out by --partial'
        )
    return kept


def convert(args: argparse.Namespace) -> None:
    """Read, rename, compare and write.

    Raises:
        UserError: One of these is not possible; then nothing is written.
    """
    from mmengine.runner import save_checkpoint

    from plugins.checkpoints import CheckpointError, load_from_local
    from plugins.checkpoints.conversion import (
        convert_names,
        data_set_meta,
        detector_weights,
        repeat_backbone,
    )
    from plugins.errors import UserError

    if Path(args.dst).exists():
        raise UserError(f'{args.dst} exists already; name another file or remove it')
    checkpoint = load_from_local(args.src, 'cpu')
    weights = detector_weights(checkpoint, args.src)
    result = convert_names(weights)
    print(f'{args.src}: {len(weights)} tensors')
    show(result, len(weights), every=args.list)
    if not result.tensors:
        raise CheckpointError(f'{args.src} has no tensor of a known name; nothing was written')
    if result.unknown and not args.partial:
        raise CheckpointError(
            f'{len(result.unknown)} of {len(weights)} tensors of {args.src} have unknown names '
            f'(first {result.unknown[0]}); leave them out by --partial'
        )
    tensors = result.tensors
    if args.num_backbones is not None:
        tensors = repeat_backbone(tensors, args.num_backbones, args.cb_del_stages)
    if args.config is not None:
        tensors = fit(tensors, args)
    save_checkpoint(
        dict(meta=dict(dataset_meta=data_set_meta(checkpoint)), state_dict=tensors),
        args.dst,
        backend_args=dict(backend='atomic_local'),
    )
    print(f'{args.dst}: {len(tensors)} tensors')


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    args = parse_args(argv)
    import plugins  # noqa: F401  before mmdet: it stands in for mmcv's compiled module
    from plugins.runtime import report_user_errors

    with report_user_errors():
        convert(args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
