"""Print and plot the long tail of an annotation file, or of what a training pipeline makes of it.

Of a file: instances and images per category, frequency groups, instance bins and repeat factors.
With --config: instances per category that the training pipeline shows, really run, with and without
repeat-factor sampling and the balanced mixing of images. With --out-dir also a picture, with --json
everything as numbers.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.light import import_light

VARIANTS = ('uniform', 'rfs', 'rfs-copy-paste', 'rfs-mosaic', 'config')
GROUPS = {'f': ('frequent', '#3b6fb6'), 'c': ('common', '#e08a1e'), 'r': ('rare', '#c0392b')}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann', nargs='?', help='annotation file in LVIS or COCO format')
    parser.add_argument(
        '--out-dir', metavar='DIR', help='where to write long_tail.png or pipeline.png'
    )
    parser.add_argument(
        '--threshold',
        type=float,
        help='repeat-factor threshold t, share of images (default: 1e-3, with --config that of its '
        'sampler, if it has one)',
    )
    parser.add_argument('--json', metavar='FILE', help='write the statistics as JSON')
    parser.add_argument('--rare-max', type=int, default=10, help='most images of a rare category')
    parser.add_argument('--common-max', type=int, default=100, help='most images of a common one')
    parser.add_argument(
        '--bins',
        choices=('lvis', 'coco-lt'),
        default='lvis',
        help='instance bins: 10, 100, 1000 or 20, 400, 8000',
    )
    parser.add_argument('--rows', type=int, default=0, help='categories to list; 0 lists all')
    sampling = parser.add_argument_group('sampling of a training pipeline')
    sampling.add_argument('--config', help='config whose training pipeline is run')
    sampling.add_argument(
        '--epochs', type=float, default=1.0, help='epochs to sample; 0.1 is a tenth (default: 1)'
    )
    sampling.add_argument(
        '--workers', type=int, default=2, help='processes that load images (default: 2)'
    )
    sampling.add_argument('--seed', type=int, default=0, help='of sampler and transforms')
    sampling.add_argument(
        '--variants', nargs='+', choices=VARIANTS, default=VARIANTS, help='default: all'
    )
    sampling.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='settings that replace those of the config; lists as key="[a,b]" or key=a,b',
    )
    args = parser.parse_args(argv)
    if (args.ann is None) == (args.config is None):
        parser.error('name either an annotation file or, with --config, a config')
    return args


def main(argv: list[str] | None = None) -> int:
    """Compute, print and plot; returns the exit code."""
    args = parse_args(argv)
    if args.config is not None:
        from tools.data.pipeline_sampling import sample_pipeline  # loads torch and mmdet

        return sample_pipeline(args)
    if args.threshold is None:
        args.threshold = 1e-3
    annotations = import_light('annotations')
    try:
        data = annotations.read_annotations(args.ann)
        limits = {
            'lvis': annotations.LVIS_BIN_LIMITS,
            'coco-lt': annotations.COCO_LT_BIN_LIMITS,
        }[args.bins]
        statistics = annotations.long_tail_statistics(
            data,
            threshold=args.threshold,
            rare_max=args.rare_max,
            common_max=args.common_max,
            bin_limits=limits,
        )
        _print(statistics, args)
        if args.json:
            _write_json(Path(args.json), statistics)
        if args.out_dir:
            print(f'picture: {_plot(statistics, Path(args.out_dir), args)}')
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def _print(statistics: dict, args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=100)  # a file or a pipe has no width to fit in
    categories = statistics['categories']
    shown = categories[: args.rows] if args.rows > 0 else categories
    table = Table(title=f'{args.ann}: categories by instances')
    for name in ('rank', 'id', 'category', 'group', 'images', 'instances', 'bin', 'repeat factor'):
        table.add_column(name, justify='left' if name == 'category' else 'right', no_wrap=True)
    for rank, row in enumerate(shown, 1):
        table.add_row(
            str(rank),
            str(row['id']),
            row['name'],
            row['group'],
            f'{row["image_count"]:,}',
            f'{row["instance_count"]:,}',
            row['bin'] or '-',
            f'{row["repeat_factor"]:.3f}',
        )
    console.print(table)
    if len(shown) < len(categories):
        print(f'... and {len(categories) - len(shown):,} more (--rows 0 lists all)')
    for line in _summary_lines(statistics):
        print(line)


def _summary_lines(statistics: dict) -> list[str]:
    totals, repeats = statistics['totals'], statistics['repeat_factors']
    groups = ' / '.join(f'{totals["groups"][g]} {GROUPS[g][0]}' for g in 'rcf')
    bins = ', '.join(f'{name} {count}' for name, count in totals['bins'].items())
    growth = repeats['epoch_length'] / totals['images']
    return [
        f'{totals["images"]:,} images ({totals["images_without_annotations"]:,} without '
        f'annotations), {totals["instances"]:,} instances, {totals["categories"]:,} categories',
        f'frequency groups by images: {groups}',
        f'categories by instances: {bins}, without any {totals["empty_categories"]}',
        f'repeat factors at t={repeats["threshold"]:g}: {repeats["images_above_one"]:,} images '
        f'above 1, largest {repeats["largest"]:.4f}, epoch of {repeats["epoch_length"]:,.2f} '
        f'images ({growth:.3f} times the set)',
    ]


def _write_json(path: Path, statistics: dict) -> None:
    public = {key: value for key, value in statistics.items() if key != 'image_factors'}
    with import_light('atomic_file').atomic_file(path) as file:
        file.write(json.dumps(public, indent=1).encode())


def _plot(statistics: dict, folder: Path, args: argparse.Namespace) -> Path:
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(15, 4.5), layout='constrained')
    for axis, key in zip(axes, ('instance_count', 'image_count'), strict=False):
        _plot_ranks(axis, statistics['categories'], key)
    factors = statistics['image_factors']
    above = factors[factors > 1]
    axes[2].set_title(f'image repeat factors at t = {args.threshold:g}')
    axes[2].set_xlabel(f'repeat factor ({len(factors) - len(above):,} images at 1 not shown)')
    axes[2].set_ylabel('images')
    if len(above):
        axes[2].hist(above, bins=40, color='#555555')
        axes[2].set_yscale('log')
    else:
        axes[2].text(0.5, 0.5, 'no image is repeated', ha='center', transform=axes[2].transAxes)
    totals = statistics['totals']
    figure.suptitle(
        f'{Path(args.ann).name}: {totals["images"]:,} images, {totals["instances"]:,} instances, '
        f'{totals["categories"]:,} categories'
    )
    path = folder / 'long_tail.png'
    with import_light('atomic_file').atomic_file(path) as file:
        figure.savefig(file, format='png', dpi=110)
    plt.close(figure)
    return path


def _plot_ranks(axis, categories: list[dict], key: str) -> None:
    ranked = sorted(categories, key=lambda row: -row[key])
    for group, (label, colour) in GROUPS.items():
        points = [(k, row[key]) for k, row in enumerate(ranked, 1) if row['group'] == group]
        drawn = [point for point in points if point[1] > 0]
        ranks, counts = zip(*drawn, strict=True) if drawn else ((), ())
        axis.scatter(ranks, counts, s=10, color=colour, label=f'{label} ({len(points):,})')
    what = 'instances' if key == 'instance_count' else 'images'
    axis.set(title=f'{what} per category', ylabel=what)
    axis.set_xlabel('category, by rank (empty ones not drawn)')
    axis.grid(alpha=0.3)
    axis.legend(title='frequency group')
    if ranked[0][key] > 0:
        axis.set_yscale('log')


if __name__ == '__main__':
    sys.exit(main())
