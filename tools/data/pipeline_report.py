"""Tables, numbers and a picture of what the variants of a training pipeline show."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.analysis.figures import save_figure
from tools.data.pipeline_variants import VARIANTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.table import Table

    from tools.data.pipeline_statistics import Counts, PipelineStatistics

GROUPS = {'r': 'rare', 'c': 'common', 'f': 'frequent'}
# Told apart by people who do not see red and green, and in print (Okabe and Ito 2008).
COLOURS = {
    'uniform': '#999999',
    'rfs': '#000000',
    'rfs-copy-paste': '#0072b2',
    'rfs-mosaic': '#e69f00',
    'config': '#cc3399',
}
LABELLED_LIMIT = 100  # categories; above, a curve has no points


def group_shares(statistics: 'PipelineStatistics', numbers: np.ndarray) -> dict[str, float]:
    """Part of ``numbers``, one per category, that falls on each frequency group, in percent."""
    groups = np.array(statistics.groups)
    total = max(1, int(numbers.sum()))
    return {group: 100 * float(numbers[groups == group].sum()) / total for group in GROUPS}


def summary_table(statistics: 'PipelineStatistics') -> 'Table':
    """One row per variant: its size, and on which frequency groups its objects fall."""
    from rich.table import Table

    table = Table(title=f'what the training pipeline shows (epochs: {statistics.epochs:g})')
    table.add_column('variant', no_wrap=True)
    columns = ('images', 'instances', 'per image', *(f'{g} %' for g in GROUPS), 'least', 'median')
    for name in (*columns, 'not seen'):
        table.add_column(name, justify='right', no_wrap=True)
    rows = [('annotated', statistics.annotated), *statistics.variants.items()]
    for name, counts in rows:
        total = int(counts.instances.sum())
        shares = group_shares(statistics, counts.instances)
        table.add_row(
            name,
            f'{counts.samples:,}',
            f'{total:,}',
            f'{total / max(1, counts.samples):.2f}',
            *(f'{shares[group]:.1f}' for group in GROUPS),
            f'{counts.instances.min():,}',
            f'{np.median(counts.instances):,.0f}',
            f'{(counts.instances == 0).sum():,}',
        )
    return table


def category_table(statistics: 'PipelineStatistics', rows: int) -> 'Table':
    """Instances of each category in each variant, the rarest category first.

    Args:
        statistics: What to show.
        rows: how many categories; 0 shows all.
    """
    from rich.table import Table

    table = Table(title='instances by category, the rarest first')
    table.add_column('category', no_wrap=True)
    for name in ('group', 'annotated', *statistics.variants):
        table.add_column(name, justify='right', no_wrap=True)
    order = _by_frequency(statistics)[::-1]
    for label in order[: rows or None]:
        columns = (statistics.annotated, *statistics.variants.values())
        numbers = (f'{counts.instances[label]:,}' for counts in columns)
        table.add_row(statistics.names[label], statistics.groups[label], *numbers)
    return table


def as_numbers(statistics: 'PipelineStatistics') -> dict:
    """Everything as plain numbers, for a JSON file."""
    columns = {'annotated': statistics.annotated, **statistics.variants}
    return {
        'epochs': statistics.epochs,
        'variants': {
            name: {
                'images': counts.samples,
                'instances': int(counts.instances.sum()),
                'instance_share': group_shares(statistics, counts.instances),
                'image_share': group_shares(statistics, counts.images),
            }
            for name, counts in columns.items()
        },
        'categories': [
            {
                'label': label,
                'name': name,
                'group': statistics.groups[label],
                'instances': {k: int(c.instances[label]) for k, c in columns.items()},
                'images': {k: int(c.images[label]) for k, c in columns.items()},
            }
            for label, name in enumerate(statistics.names)
        ],
    }


def plot(statistics: 'PipelineStatistics', title: str, path: Path) -> None:
    """Write a picture (PNG): instances and images per category, one curve per variant."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(15, 6), layout='constrained', sharex=True)
    for axis, what in zip(axes, ('instances', 'images'), strict=True):
        _plot_counts(axis, statistics, what)
    axes[0].legend(title='training images are drawn by', loc='lower left')
    figure.suptitle(f'{title}: what one epoch of the training pipeline shows')
    save_figure(figure, path)


def _plot_counts(axis: 'Axes', statistics: 'PipelineStatistics', what: str) -> None:
    order = _by_frequency(statistics)
    ranks = np.arange(1, len(order) + 1)
    marker = 'o' if len(order) <= LABELLED_LIMIT else ''
    for name, counts in statistics.variants.items():
        values = getattr(counts, what)[order] / statistics.epochs
        axis.plot(
            ranks,
            values,
            color=COLOURS[name],
            label=VARIANTS[name],
            # The config may be one of the other variants: a wide band leaves that curve visible.
            **(
                dict(linewidth=6, alpha=0.35, zorder=1)
                if name == 'config'
                else dict(linewidth=1.2, marker=marker, markersize=3)
            ),
        )
    axis.set(title=f'{what} per category', ylabel=f'{what} per epoch')
    axis.set_xlabel('category, by images in the training set (the most frequent first)')
    axis.set_yscale('symlog', linthresh=1)  # a category that is never shown lies on the zero line
    axis.set_ylim(0, 3 * axis.get_ylim()[1])  # room for the names of the groups
    axis.grid(alpha=0.3)
    _mark_groups(axis, statistics, order)


def _mark_groups(axis: 'Axes', statistics: 'PipelineStatistics', order: np.ndarray) -> None:
    """Shade the range of each frequency group and name it along the upper border."""
    groups = np.array(statistics.groups)[order]
    for group, name in GROUPS.items():
        places = np.flatnonzero(groups == group)
        if len(places):
            start, end = places[0] + 0.5, places[-1] + 1.5
            axis.axvspan(start, end, color='black', alpha={'f': 0, 'c': 0.04, 'r': 0.08}[group])
            middle = (start + end) / 2
            upper = axis.get_xaxis_transform()
            axis.text(middle, 0.97, f'{name} ({len(places)})', ha='center', transform=upper)


def _by_frequency(statistics: 'PipelineStatistics') -> np.ndarray:
    """Labels from the category with the most training images to that with the fewest."""
    annotated: Counts = statistics.annotated
    return np.lexsort((-annotated.instances, -annotated.images))
