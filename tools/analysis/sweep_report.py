"""What ``sweep.py`` shows: tables, numbers as JSON, a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from tools.analysis.figures import GROUPS, console, percent, save_figure
from tools.analysis.sweep_tables import FilledTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = [colour for _, colour in GROUPS.values()]
_PUBLISHED_COLOUR = '#999999'


def print_table(filled: FilledTable) -> None:
    """Print a table, AP in per cent, published values beside."""
    from rich.table import Table

    table = Table(
        title=f'{filled.table.title} ({filled.iou_type}, %)',
        caption=f'published: {filled.table.source}',
    )
    table.add_column('setting', no_wrap=True)
    for heading in filled.columns:
        table.add_column(heading, justify='right', no_wrap=True)
    table.add_column(f'published {" / ".join(filled.columns)}', justify='right')
    for row in filled.rows:
        published = ' / '.join(f'{value:.1f}' for value in row.published)
        table.add_row(row.label, *map(percent, row.ours), published)
    console().print(table)


def to_json(filled: FilledTable) -> dict:
    """The table at full precision: ours in [0, 1] or None, published in per cent."""
    return {
        'title': filled.table.title,
        'iou_type': filled.iou_type,
        'source': filled.table.source,
        'columns': list(filled.columns),
        'rows': [
            {
                'setting': row.label,
                'ours': [None if value == -1 else value for value in row.ours],
                'published': list(row.published),
            }
            for row in filled.rows
        ],
    }


def draw_tables(tables: list[FilledTable], path: Path) -> Path:
    """Draw each table, ours in full colour and published values pale; returns the path."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    columns = min(len(tables), 3)
    rows = -(-len(tables) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(6 * columns, 4.6 * rows), layout='constrained', squeeze=False
    )
    for axis, filled in zip(axes.flat, tables, strict=False):
        (_draw_lines if filled.table.x_label else _draw_bars)(axis, filled)
        axis.set_title(f'{filled.table.title}\n({filled.iou_type})', fontsize=10)
        axis.set_ylabel('AP (%)')
        axis.grid(alpha=0.3, axis='y')
        axis.set_ylim(0, 1.25 * axis.get_ylim()[1])
    for axis in axes.flat[len(tables) :]:
        axis.axis('off')
    return save_figure(figure, path)


def _draw_lines(axis: 'Axes', filled: FilledTable) -> None:
    for column, (name, colour) in enumerate(zip(filled.columns, _COLOURS, strict=True)):
        points = [(row.x, 100 * row.ours[column]) for row in filled.rows if row.ours[column] != -1]
        axis.plot(*_transposed(points), color=colour, marker='o', markersize=4, label=name)
        points = [(row.x, row.published[column]) for row in filled.rows if row.published]
        axis.plot(*_transposed(points), color=colour, alpha=0.45, linestyle='--')
    axis.plot([], [], color=_PUBLISHED_COLOUR, linestyle='--', label='published')
    axis.set_xscale('log')
    axis.set_xticks([row.x for row in filled.rows], [f'{row.x:,}' for row in filled.rows])
    axis.minorticks_off()
    axis.tick_params(axis='x', rotation=30)
    axis.set_xlabel(filled.table.x_label)
    axis.legend(fontsize=8, ncols=3, loc='upper center')


def _draw_bars(axis: 'Axes', filled: FilledTable) -> None:
    """One cluster per setting, or per column where there are few settings."""
    clusters, series = [row.label for row in filled.rows], list(filled.columns)
    ours = [list(row.ours) for row in filled.rows]
    published = [list(row.published) for row in filled.rows]
    if len(clusters) < len(series):
        clusters, series = series, clusters
        ours = [list(values) for values in zip(*ours, strict=True)]
        known = [values or [None] * len(clusters) for values in published]
        published = [list(values) for values in zip(*known, strict=True)]
    width = 0.8 / len(series)
    shades = ['#8fb3dc', '#3b6fb6', '#1f3f6b'] if len(series) <= 3 else _COLOURS
    for index, name in enumerate(series):
        places = [cluster + (index - (len(series) - 1) / 2) * width for cluster in range(len(ours))]
        heights = [max(100 * values[index], 0) for values in ours]
        axis.bar(places, heights, width * 0.92, color=shades[index % len(shades)], label=name)
        known = [
            (place, values[index])
            for place, values in zip(places, published, strict=True)
            if values and values[index] is not None
        ]
        axis.scatter(*_transposed(known), color='black', marker='_', s=120, zorder=3)
    axis.scatter([], [], color='black', marker='_', s=120, label='published')
    axis.set_xticks(range(len(clusters)), clusters)
    axis.legend(fontsize=8, ncols=3, loc='upper center')


def _transposed(points: list[tuple[float, float]]) -> tuple[list, list]:
    return ([x for x, _ in points], [y for _, y in points])
