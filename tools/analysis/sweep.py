"""Sweep the limits of the LVIS protocols over one set of results, published values beside.

Tables: reranking (how far AP_old@300 can be gamed), per-image, subsets, per-class, pool, boundary.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light

if TYPE_CHECKING:
    from tools.analysis.sweep_tables import Matched, Table

TABLES = ('reranking', 'per-image', 'subsets', 'per-class', 'pool', 'boundary')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument('gt', help='annotation file in LVIS format')
    parser.add_argument('results', help='results file, uncapped (JSON list, may be .gz)')
    parser.add_argument(
        '--tables', nargs='+', choices=TABLES, default=list(TABLES), help='default: all'
    )
    parser.add_argument(
        '--iou',
        choices=('segm', 'bbox', 'boundary'),
        default='segm',
        help='what overlaps (default: segm); the table boundary always compares boundaries',
    )
    parser.add_argument(
        '--caps', nargs='+', type=int, help='limits to use instead of those of the chosen table'
    )
    parser.add_argument('--out-dir', metavar='DIR', help='where to write sweep.json and sweep.png')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Compute, print, write, draw; returns the exit code."""
    args = parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> None:
    """Match once per kind of overlap, then fill the tables."""
    from tqdm import tqdm

    from tools.analysis import sweep_report, sweep_tables
    from tools.analysis.figures import save_json

    tables = {name: sweep_tables.TABLES[name] for name in TABLES if name in args.tables}
    _check_caps(args.caps, tables)
    matched = _match(args, tables)
    filled = {}
    for name, table in tqdm(tables.items(), desc='sweeping', unit='table'):
        iou_type, caps = _iou_type(args, table), tuple(args.caps or table.caps)
        rows = tuple(table.rows(matched[iou_type], caps))
        filled[name] = sweep_tables.FilledTable(table, iou_type, caps, rows)
    for part in filled.values():
        sweep_report.print_table(part)
    if args.out_dir:
        folder = Path(args.out_dir)
        numbers = {name: sweep_report.to_json(part) for name, part in filled.items()}
        print(f'numbers: {save_json(numbers, folder / "sweep.json")}')
        print(f'picture: {sweep_report.draw_tables(list(filled.values()), folder / "sweep.png")}')


def _check_caps(caps: list[int] | None, tables: dict[str, 'Table']) -> None:
    if caps is None:
        return
    if len(tables) > 1:
        raise ValueError('--caps means something else in each table: choose one with --tables')
    if min(caps) < 1:
        raise ValueError(f'--caps {min(caps)} leaves no result: give numbers from 1 on')


def _iou_type(args: argparse.Namespace, table: 'Table') -> str:
    return 'boundary' if table.needs_boundary else args.iou


def _match(args: argparse.Namespace, tables: dict[str, 'Table']) -> dict[str, 'Matched']:
    from tools.analysis.sweep_tables import Matched

    engine = import_light('evaluation.engine')
    types = sorted({_iou_type(args, table) for table in tables.values()})
    only_boxes = types == ['bbox']
    ground_truth = engine.read_ground_truth(args.gt, masks=not only_boxes, federated=True)
    kind = 'bbox' if only_boxes else 'segm'
    results = engine.read_results(args.results, ground_truth, iou_type=kind)
    for warning in results.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    matches = engine.match(ground_truth, results, iou_type=types)
    return {name: Matched(ground_truth, matches[name]) for name in types}


if __name__ == '__main__':
    sys.exit(main())
