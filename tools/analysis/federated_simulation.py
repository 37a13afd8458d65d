"""How AP depends on the size of a federated evaluation set (figure 8 of the LVIS paper).

Each category is evaluated on some of its positive and negative images only, drawn several times:
first all positive images with more and more negative ones, then few negative images with more and
more positive ones. Results of a model on COCO (--rules coco) show it best, where every image that
lacks a category is a negative one; with LVIS only the listed images are.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from tools.light import import_light

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tools.analysis.federated_sampling import EvaluationSets

PUBLISHED = (
    'published (LVIS paper, figure 8, mask AP on COCO val2017, 20 draws): from 50 to 5,000 '
    'negative images AP falls by about 2 points; with 50 negative and few positive images the '
    'quartiles stay within 2 points'
)


@dataclass(frozen=True)
class Setting:
    """One size of the evaluation sets.

    Attributes:
        vary: What the series varies, ``'negative'`` or ``'positive'``.
        size: Images per category of that kind.
        values: AP of every draw, in [0, 1].
        complete: Share of categories with annotations that had as many images as asked for.
    """

    vary: str
    size: int
    values: tuple[float, ...]
    complete: float

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile of the draws."""
        return tuple(float(value) for value in np.percentile(self.values, (25, 50, 75)))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument('gt', help='annotations (LVIS or COCO format)')
    parser.add_argument('results', help='results on them (JSON list, may be .gz)')
    parser.add_argument(
        '--rules', choices=('lvis', 'coco'), default='lvis', help='how to match (default: lvis)'
    )
    parser.add_argument(
        '--iou', choices=('segm', 'bbox'), default='segm', help='what overlaps (default: segm)'
    )
    parser.add_argument(
        '--max-dets', type=int, help='limit on results per image (default: 300; coco: 100)'
    )
    parser.add_argument('--draws', type=int, default=20, help='per setting (default: 20)')
    parser.add_argument(
        '--negatives',
        nargs='+',
        type=int,
        default=[50, 100, 500, 1000, 5000],
        help='negative images per category, with all positive ones',
    )
    parser.add_argument(
        '--positives',
        nargs='+',
        type=int,
        default=[5, 10, 20, 40, 80],
        help='positive images per category, with --few-negatives negative ones',
    )
    parser.add_argument('--few-negatives', type=int, default=50, help='default: 50')
    parser.add_argument('--seed', type=int, default=0, help='of the draws (default: 0)')
    parser.add_argument(
        '--out-dir', metavar='DIR', help='where to write federated_simulation.json and .png'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Match once, draw and evaluate; returns the exit code."""
    args = parse_args(argv)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> None:
    """Simulate, print, write, draw."""
    from tools.analysis.figures import save_figure, save_json

    _check_sizes(args)
    max_dets = args.max_dets or {'lvis': 300, 'coco': 100}[args.rules]
    baseline, settings = simulate(args, max_dets)
    protocol = f'AP_{"old" if args.rules == "lvis" else "coco"}@{max_dets} ({args.iou})'
    _print(protocol, baseline, settings, args)
    if args.out_dir:
        folder = Path(args.out_dir)
        numbers = _to_json(protocol, baseline, settings, args)
        print(f'numbers: {save_json(numbers, folder / "federated_simulation.json")}')
        figure = _draw(protocol, baseline, settings, args)
        print(f'picture: {save_figure(figure, folder / "federated_simulation.png")}')


def _check_sizes(args: argparse.Namespace) -> None:
    sizes = {
        '--draws': [args.draws],
        '--positives': args.positives,
        '--max-dets': [args.max_dets or 1],
    }
    for option, values in sizes.items():
        if min(values) < 1:
            raise ValueError(f'{option} must be at least 1, not {min(values)}')
    if min(args.few_negatives, *args.negatives) < 0:
        raise ValueError('--negatives and --few-negatives must not be below 0')


def simulate(args: argparse.Namespace, max_dets: int) -> tuple[float, list[Setting]]:
    """AP of the whole set, and of every setting in every draw."""
    from tqdm import tqdm

    from tools.analysis.federated_sampling import evaluation_sets, restricted_precision

    engine = import_light('evaluation.engine')
    rules = {'lvis': engine.LVIS, 'coco': engine.COCO}[args.rules]
    ground_truth = engine.read_ground_truth(
        args.gt, masks=args.iou == 'segm', federated=rules.federated
    )
    results = engine.read_results(args.results, ground_truth, iou_type=args.iou)
    for warning in results.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    matches = engine.match(ground_truth, results, iou_type=args.iou, rules=rules)
    keep = engine.keep_per_image(matches, max_dets)
    sets = evaluation_sets(ground_truth, rules)
    # Ascending sizes; each draw serves all of them, so that the series vary nothing else.
    plan = [('negative', size, (None, size)) for size in sorted(set(args.negatives))]
    plan += [('positive', size, (size, args.few_negatives)) for size in sorted(set(args.positives))]
    values = np.empty((args.draws, len(plan)))
    with tqdm(total=values.size, desc='evaluating', unit='set') as bar:
        for draw in range(args.draws):
            drawn = sets.shuffled(np.random.default_rng((args.seed, draw)))
            for place, (_, _, sizes) in enumerate(plan):
                member = drawn.beginning(*sizes)
                values[draw, place] = restricted_precision(ground_truth, matches, keep, member)
                bar.update()
    settings = [
        Setting(vary, size, tuple(values[:, place].tolist()), _complete(sets, vary, size))
        for place, (vary, size, _) in enumerate(plan)
    ]
    return engine.mean_precision(engine.accumulate(matches, keep)), settings


def _complete(sets: 'EvaluationSets', vary: str, size: int) -> float:
    evaluated = [k for k, images in enumerate(sets.positive) if len(images)]
    images = sets.negative if vary == 'negative' else sets.positive
    return sum(len(images[k]) >= size for k in evaluated) / max(len(evaluated), 1)


def _print(
    protocol: str, baseline: float, settings: list[Setting], args: argparse.Namespace
) -> None:
    from rich.table import Table

    from tools.analysis.figures import console, percent

    table = Table(
        title=f'{protocol} in %, {args.draws} draws; whole set {percent(baseline)}',
        caption=PUBLISHED,
    )
    for name in ('positive', 'negative', 'median', '1st-3rd quartile', 'gap', 'std. dev.'):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('categories with enough', justify='right')
    for setting in settings:
        low, middle, high = setting.quartiles
        sizes = (f'{setting.size:,}', f'{args.few_negatives:,}')
        table.add_row(
            *(('all', sizes[0]) if setting.vary == 'negative' else sizes),
            percent(middle),
            f'{percent(low)} - {percent(high)}',
            f'{100 * (high - low):.2f}',
            f'{100 * float(np.std(setting.values)):.2f}',
            f'{setting.complete:.0%}',
        )
    console().print(table)


def _to_json(
    protocol: str, baseline: float, settings: list[Setting], args: argparse.Namespace
) -> dict:
    return {
        'protocol': protocol,
        'whole_set': baseline,
        'draws': args.draws,
        'seed': args.seed,
        'few_negatives': args.few_negatives,
        'settings': [
            {
                'vary': setting.vary,
                'size': setting.size,
                'complete': setting.complete,
                'values': list(setting.values),
            }
            for setting in settings
        ],
    }


def _draw(protocol: str, baseline: float, settings: list[Setting], args: argparse.Namespace):
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout='constrained')
    texts = {
        'negative': 'all positive images, negative ones vary',
        'positive': f'{args.few_negatives:,} negative images, positive ones vary',
    }
    for axis, (vary, title) in zip(axes, texts.items(), strict=True):
        _draw_series(axis, [setting for setting in settings if setting.vary == vary])
        axis.axhline(100 * baseline, color='#c0392b', linestyle='--', label='whole set')
        axis.set(title=title, xlabel=f'{vary} images per category')
        axis.grid(alpha=0.3, axis='y')
        axis.legend(fontsize=8)
    axes[0].set_ylabel(f'{protocol}, %')
    figure.suptitle(f'AP under smaller evaluation sets, {args.draws} draws each')
    return figure


def _draw_series(axis: 'Axes', settings: list[Setting]) -> None:
    places = range(len(settings))
    boxes = axis.boxplot(
        [[100 * value for value in setting.values] for setting in settings],
        positions=places,
        widths=0.5,
        patch_artist=True,
        medianprops={'color': '#1f3f6b', 'linewidth': 2},
        flierprops={'marker': '.', 'markersize': 4},
    )
    for box in boxes['boxes']:
        box.set(facecolor='#8fb3dc', edgecolor='#3b6fb6')
    axis.set_xticks(places, [f'{setting.size:,}' for setting in settings])


if __name__ == '__main__':
    sys.exit(main())
