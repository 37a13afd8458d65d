"""The report of ``calibrate.py``: calibration errors, the table and the reliability diagrams."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.analysis.figures import GROUPS, console, percent, save_figure
from tools.light import import_light

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from plugins.evaluation.calibration import MatchingOptions, Observations, Reliability

PUBLISHED_FOR = (
    'published: table 8 of The Devil is in the Details (2021), mask AP_pool on LVIS v1 val, '
    'Mask R-CNN R50-FPN with the federated loss'
)
# All, r, c, f in per cent.
PUBLISHED = {
    'uncalibrated': (27.8, 16.1, 22.0, 28.2),
    'histogram': (28.6, 12.4, 20.6, 29.2),
    'bbq-aic': (28.8, 13.6, 21.6, 29.3),
    'beta': (29.5, 12.8, 22.7, 30.0),
    'isotonic': (28.3, 14.4, 22.2, 28.7),
    'platt': (29.5, 13.1, 22.8, 30.0),
}


def measure(
    observations: 'Observations', group_of: dict[int, str]
) -> tuple[dict, dict[str, 'Reliability']]:
    """Calibration errors of a set of scored results.

    Args:
        observations: The results with what became of them.
        group_of: Category id -> ``'r'``, ``'c'``, ``'f'`` or ``''``.

    Returns:
        Expected calibration errors (20 bins), None where undefined: over all results, of each
        frequency group, and ``per_category`` with their mean as ``category_mean``; and the
        reliability diagram of all results and of each group.
    """
    calibration = import_light('evaluation.calibration')
    group = np.array([group_of[int(name)] for name in observations.category], dtype='U1')
    diagrams = {}
    for name in GROUPS:
        inside = slice(None) if name == 'all' else group == name
        score, matched = observations.score[inside], observations.matched[inside]
        diagrams[name] = calibration.reliability(score, matched)
    per_category = calibration.category_errors(
        observations.category, observations.score, observations.matched
    )
    errors = {
        name: diagram.error if diagram.count.sum() else None for name, diagram in diagrams.items()
    }
    errors['category_mean'] = float(np.mean(list(per_category.values()))) if per_category else None
    errors['per_category'] = {str(key): value for key, value in per_category.items()}
    return errors, diagrams


def print_report(report: dict[str, dict], training: 'MatchingOptions') -> None:
    """Print one line per method; AP in per cent, the published AP_pool beside.

    Args:
        report: Method -> ``pool`` and ``fixed`` (AP, APr, APc, APf in [0, 1]) and ``ECE``.
        training: Options of the fit.
    """
    from rich.table import Table

    how = f'{training.iou_type}, {training.rules} rules, 10,000 results per class'
    pool = Table(title=f'AP_pool in % ({how})')
    fixed = Table(title=f'AP_fixed in % ({how}), and errors of matches at IoU {training.iou:g}')
    for table, name, more in (
        (pool, 'AP_pool', ['published']),
        (fixed, 'AP_fixed', ['ECE', 'ECE per class']),
    ):
        table.add_column('method', no_wrap=True)
        for heading in (name, 'r', 'c', 'f', *more):
            table.add_column(heading, justify='right', no_wrap=True)
    for method, row in report.items():
        published = ' / '.join(f'{value:.1f}' for value in PUBLISHED.get(method, ()))
        pool.add_row(method, *map(percent, row['pool'].values()), published)
        errors = (row['ECE'][key] for key in ('all', 'category_mean'))
        texts = ('-' if value is None else f'{value:.4f}' for value in errors)
        fixed.add_row(method, *map(percent, row['fixed'].values()), *texts)
    pool.caption = PUBLISHED_FOR
    console().print(pool)
    console().print(fixed)


def draw_reliability(
    method: str,
    before: dict[str, 'Reliability'],
    after: dict[str, 'Reliability'],
    folder: Path,
) -> Path:
    """Draw reliability diagrams of all results and of each group, before above after.

    Args:
        method: Name of the method.
        before: Group -> diagram of the original scores.
        after: Group -> diagram of the calibrated scores.
        folder: Where to write ``reliability_{method}.png``.

    Returns:
        Path of the picture.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2, len(GROUPS), figsize=(15, 7.6), sharex=True, sharey=True, layout='constrained'
    )
    for row, (when, diagrams) in enumerate((('original', before), (f'by {method}', after))):
        for axis, name in zip(axes[row], GROUPS, strict=True):
            _draw_diagram(axis, diagrams[name], GROUPS[name][1])
            axis.set_title(f'{GROUPS[name][0]}, {when}')
        axes[row, 0].set_ylabel('share of results that match')
    for axis in axes[1]:
        axis.set_xlabel('score')
    figure.suptitle('Do scores equal the share of matches? Larger dots: more results')
    return save_figure(figure, folder / f'reliability_{method}.png')


def _draw_diagram(axis: 'Axes', diagram: 'Reliability', colour: str) -> None:
    filled = diagram.count > 0
    axis.plot([0, 1], [0, 1], color='#999999', linewidth=1, linestyle='--')
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect='equal')
    axis.grid(alpha=0.3)
    if not filled.any():
        axis.text(0.5, 0.5, 'no results', ha='center', va='center')
        return
    score, matched = diagram.score[filled], diagram.matched[filled]
    axis.vlines(score, score, matched, color=colour, alpha=0.35, linewidth=4)
    axis.plot(score, matched, color=colour, linewidth=1.2)
    # Areas on a root scale: the first bin holds nearly everything.
    area = 12 + 220 * np.sqrt(diagram.count[filled] / diagram.count.sum())
    axis.scatter(score, matched, s=area, color=colour, zorder=3, clip_on=False)
    axis.text(
        0.04,
        0.95,
        f'ECE {diagram.error:.4f}\n{diagram.count.sum():,} results',
        va='top',
        transform=axis.transAxes,
    )
