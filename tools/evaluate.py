"""Score a result file by the protocols of LVIS or COCO, all from one matching pass.

Prints tables in which every number carries its protocol; --out writes the same at full precision.
Needs neither a config nor a GPU, and reads JSON files, plain or gzip, of any size.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.light import import_light

IOU_TYPES = ('segm', 'bbox', 'boundary')
SUBSETS = ('r', 'c', 'f', 'rc', 'cf', 'rf')
_INTERRUPTED = 130


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('gt', help='annotations in LVIS format (COCO format with --rules coco)')
    parser.add_argument(
        'results', help='JSON list of {"image_id", "category_id", "score", "segmentation", "bbox"}'
    )
    parser.add_argument('--out', metavar='OUT.json', help='write all numbers as JSON')
    _add_protocols(parser.add_argument_group('protocols'))
    _add_inputs(parser.add_argument_group('inputs'))
    return parser.parse_args(argv)


def _add_protocols(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--iou', nargs='+', choices=IOU_TYPES, default=['segm'], help='what is compared'
    )
    group.add_argument(
        '--max-dets',
        nargs='+',
        type=int,
        metavar='N',
        help='AP_old: results per image (coco: and category), -1 for all; default 300 (coco: 100)',
    )
    group.add_argument(
        '--dets-per-class',
        nargs='*',
        type=int,
        metavar='N',
        help='AP_fixed: results per category; default 10000 (coco: none)',
    )
    group.add_argument('--pool', action='store_true', help='AP_pool of the results of AP_fixed')
    group.add_argument(
        '--rerank',
        nargs='*',
        type=int,
        metavar='N',
        help='AP_old after only the best N of each category were kept; default N 10000',
    )
    group.add_argument(
        '--subsets',
        nargs='*',
        choices=SUBSETS,
        help='AP_old as if only these frequency groups existed; default all six',
    )
    group.add_argument('--rules', choices=('lvis', 'coco'), default='lvis', help='default lvis')
    group.add_argument('--per-category', action='store_true', help='also a table of all categories')
    group.add_argument(
        '--dilation-ratio',
        type=float,
        default=0.02,
        metavar='SHARE',
        help='width of the boundary as a share of the image diagonal; default 0.02',
    )


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--counts',
        metavar='FILE',
        help='training annotations, or a JSON file of training instances per category: adds the '
        'AP of categories by training instances',
    )
    group.add_argument(
        '--synsets',
        action='store_true',
        help="results have COCO's category ids: score them on the LVIS categories that share "
        'their synsets',
    )
    group.add_argument(
        '--area-from-box',
        action='store_true',
        help='sizes of masks are those of their boxes, as lvis-api takes them from results with a '
        'bbox',
    )
    group.add_argument('--threads', type=int, metavar='N', help='default: one per processor')


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate and print; returns the exit code."""
    args = parse_args(argv)
    try:
        _check(args)
        engine = import_light('evaluation.engine')
        report = _evaluate(engine, args)
        if args.out is not None:
            _write_json(Path(args.out), report)
        tables = import_light('evaluation.engine.tables')
        title = f'({args.rules} rules, {os.path.basename(args.results)})'
        tables.print_report(report, title=title, bins=_bins(args))
    except (ValueError, OSError) as error:
        print(f'error: {_one_line(error)}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return _INTERRUPTED
    return 0


def _check(args: argparse.Namespace) -> None:
    for option in ('max_dets', 'dets_per_class', 'rerank'):
        for cap in getattr(args, option) or ():
            if cap < 1 and not (cap == -1 and option == 'max_dets'):
                raise ValueError(f'--{option.replace("_", "-")} {cap}: must be at least 1')
    if args.threads is not None and args.threads < 1:
        raise ValueError(f'--threads {args.threads}: must be at least 1')
    if not 0 < args.dilation_ratio < 1:
        raise ValueError(f'--dilation-ratio {args.dilation_ratio}: must lie between 0 and 1')
    if args.out is not None and Path(args.out).is_dir():
        raise ValueError(f'--out {args.out}: this is a folder; name a file')
    if args.rules == 'coco' and args.subsets is not None:
        raise ValueError('--subsets: COCO has no frequency groups; use --rules lvis')


def _evaluate(engine, args: argparse.Namespace) -> dict:
    types = tuple(dict.fromkeys(args.iou))
    ground_truth, category_map = _read_ground_truth(engine, args, types)
    with _progress('reading results', 'block') as progress:
        results = engine.read_results(
            args.results,
            ground_truth,
            iou_type=types,
            area_from_box=args.area_from_box,
            category_map=category_map,
            threads=args.threads,
            progress=progress,
        )
    request = _request(engine, args, types)
    with _progress('matching', 'group') as progress:
        report = engine.evaluate(
            ground_truth, results, request, threads=args.threads, progress=progress
        )
    for warning in (*results.warnings, *_shortages(ground_truth, results, request)):
        print(f'warning: {warning}', file=sys.stderr)
    return report


def _read_ground_truth(engine, args: argparse.Namespace, types: Sequence[str]) -> tuple:
    """The annotations and, for results of COCO, where their categories are."""
    ground_truth = engine.read_ground_truth(
        args.gt,
        masks=types != ('bbox',),
        counts=args.counts,
        federated=args.rules == 'lvis',
    )
    if not args.synsets:
        return ground_truth, None
    synsets = import_light('evaluation.engine.coco_synsets')
    category_map = synsets.read_coco_map(args.gt)
    lost = sorted(synsets.COCO_SYNSETS.keys() - category_map.keys())
    if lost:
        print(
            f'warning: {args.gt} lacks the synset of {len(lost)} categories of COCO (ids '
            f'{", ".join(map(str, lost))}); {len(category_map)} are evaluated',
            file=sys.stderr,
        )
    return synsets.select_categories(ground_truth, category_map.values()), category_map


def _request(engine, args: argparse.Namespace, types: tuple[str, ...]):
    is_coco = args.rules == 'coco'
    per_class = args.dets_per_class
    if per_class is None:
        per_class = [] if is_coco else [10_000]
    return engine.Request(
        iou_types=types,
        max_dets=_distinct(args.max_dets or [100 if is_coco else 300]),
        dets_per_class=_distinct(per_class),
        pool=args.pool,
        bins=_bins(args),
        rerank=_distinct(args.rerank or ([] if args.rerank is None else [10_000])),
        subsets=_distinct(args.subsets or ([] if args.subsets is None else SUBSETS)),
        per_category=args.per_category,
        rules=engine.COCO if is_coco else engine.LVIS,
        dilation_ratio=args.dilation_ratio,
    )


def _bins(args: argparse.Namespace) -> str | None:
    if args.counts is None:
        return None
    return 'coco-lt' if args.rules == 'coco' else 'lvis'


def _distinct(values: Sequence) -> tuple:
    return tuple(dict.fromkeys(values))


def _shortages(ground_truth, results, request) -> Iterator[str]:
    """AP_fixed is meant for full lists: say where they are not (Dave et al. 2021)."""
    import numpy as np

    evaluated = np.unique(ground_truth.ann_category)
    found = np.bincount(results.category[results.category >= 0], minlength=len(ground_truth.names))
    for cap in request.dets_per_class:
        short = int((found[evaluated] < cap).sum())
        if short:
            yield (
                f'{short:,} of {len(evaluated):,} evaluated categories have fewer than {cap:,} '
                f'results; if the detector cut its results per image, AP_fixed@{cap} is too low'
            )


@contextmanager
def _progress(what: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that takes longer than a second, on a terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, unit=unit, delay=1, disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(max(0, done - bar.n))

        yield show


def _one_line(error: Exception) -> str:
    first, *rest = str(error).splitlines() or [type(error).__name__]
    if not rest:
        return first
    return f'{first} (and {len(rest)} more kinds of problem: tools/data/check.py lists them)'


def _write_json(path: Path, report: dict) -> None:
    with import_light('atomic_file').atomic_file(path) as file:
        file.write(f'{json.dumps(report, indent=1)}\n'.encode())


if __name__ == '__main__':
    sys.exit(main())
