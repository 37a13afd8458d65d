"""Make a page to look at results with: numbers, curves and mistakes of one or several runs.

The page is one file and needs no network: AP by protocol and frequency group, AP of every category
against its training instances, calibration of the scores, precision over recall, pictures of the
most confident false positives and of missed objects, and a table to sort and search. Further runs
are compared with the first one.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light

_CAPS = {'lvis': 300, 'coco': 100}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example: report.py baseline=a/results.json seesaw=b/results.json --gt val.json '
        '--images data/coco --counts train.json --out report.html',
    )
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='[NAME=]RESULTS',
        help='result file (JSON list, plain or .gz), with a name to show; the first run is the '
        'one that others are compared with',
    )
    parser.add_argument('--gt', required=True, metavar='FILE', help='annotations of the split')
    parser.add_argument('--out', required=True, metavar='FILE', help='page to write')
    parser.add_argument(
        '--images', metavar='DIR', help='image folder; without it examples are drawn as shapes'
    )
    parser.add_argument(
        '--counts',
        metavar='FILE',
        help='training annotations, or a file of counts, for the instances per category',
    )
    parser.add_argument('--title', help='heading; the names of the runs by default')
    parser.add_argument(
        '--iou', choices=('segm', 'bbox'), default='segm', help='compare masks or boxes'
    )
    parser.add_argument('--boundary', action='store_true', help='add boundary AP (masks only)')
    parser.add_argument('--rules', choices=('lvis', 'coco'), default='lvis', help='protocol')
    parser.add_argument(
        '--max-dets',
        type=int,
        metavar='K',
        help='detections per image of AP_old (default 300), by the rules of COCO per image and '
        'category (default 100)',
    )
    parser.add_argument(
        '--dets-per-class',
        type=int,
        default=10_000,
        metavar='K',
        help='detections per category of AP_fixed and AP_pool',
    )
    parser.add_argument(
        '--bins', choices=('lvis', 'coco-lt'), default='lvis', help='bins of training instances'
    )
    parser.add_argument(
        '--listed', type=int, default=8, metavar='N', help='categories per list of examples'
    )
    parser.add_argument(
        '--examples', type=int, default=6, metavar='N', help='pictures of each kind per category'
    )
    args = parser.parse_args(argv)
    for name, smallest in (
        ('max_dets', -1),
        ('dets_per_class', -1),
        ('listed', 0),
        ('examples', 0),
    ):
        value = getattr(args, name)
        if value is not None and value < smallest:
            parser.error(f'--{name.replace("_", "-")} must be at least {smallest}, not {value}')
    if args.boundary and args.iou != 'segm':
        parser.error('--boundary compares masks; leave --iou bbox away')
    return args


def main(argv: list[str] | None = None) -> int:
    """Score, draw and write; returns the exit code."""
    args = parse_args(argv)
    try:
        named = _named_runs(args.runs)
        path = _write(Path(args.out), _page(args, named))
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(f'report: {path} ({path.stat().st_size / 1e6:.1f} MB)')
    return 0


def _named_runs(texts: list[str]) -> dict[str, Path]:
    """Result files by the name to show; a name that is not given is taken from the file."""
    named: dict[str, Path] = {}
    for text in texts:
        name, is_named, path = text.partition('=')
        if not is_named or Path(text).is_file():  # a path may hold an equals sign itself
            path = text
            name = Path(text).name.removesuffix('.gz').removesuffix('.json')
        if not name or not path:
            raise ValueError(f'{text!r} must be NAME=RESULTS or RESULTS')
        if name in named:
            raise ValueError(f'two runs are called {name!r}; name them NAME=RESULTS')
        named[name] = Path(path)
    return named


def _page(args: argparse.Namespace, named: dict[str, Path]) -> str:
    from tqdm import tqdm

    engine = import_light('evaluation.engine')
    report = import_light('evaluation.report')
    rules = {'lvis': engine.LVIS, 'coco': engine.COCO}[args.rules]
    settings = report.Settings(
        title=args.title or ' and '.join(named),
        iou_type=args.iou,
        with_boundary=args.boundary,
        rules=rules,
        max_dets=_CAPS[args.rules] if args.max_dets is None else args.max_dets,
        dets_per_class=args.dets_per_class,
        bins=args.bins,
        listed=args.listed,
        examples=args.examples,
    )
    # One step for the annotations, three for each run, one for the page.
    with tqdm(total=2 + 3 * len(named), desc='report', disable=None) as bar:

        def step(words: str) -> None:
            bar.set_postfix_str(words)
            bar.update()

        step('reading annotations')
        truth = engine.read_ground_truth(
            args.gt,
            masks=args.iou == 'segm',
            counts=args.counts,
            federated=rules.federated,
        )
        pictures = report.ImageFiles.of(args.gt, args.images) if args.images else None
        runs = []
        for name, path in named.items():
            step(f'reading {name}')
            runs.append(report.Run(name, engine.read_results(path, truth, iou_type=args.iou)))
        read = pictures.read if pictures else None
        data = report.gather(truth, runs, settings, read_picture=read, progress=step)
        step('writing the page')
        page = report.render(data)
    if pictures and pictures.missing:
        print(
            f'warning: {len(pictures.missing):,} pictures of examples cannot be read below '
            f'{args.images}, such as that of image {min(pictures.missing)}; shapes are drawn',
            file=sys.stderr,
        )
    return page


def _write(path: Path, page: str) -> Path:
    with import_light('atomic_file').atomic_file(path) as file:
        file.write(page.encode())
    return path


if __name__ == '__main__':
    sys.exit(main())
