"""Reports as tables to read: every number stands in the row of its protocol."""

import re
from typing import IO

from rich import box
from rich.console import Console
from rich.table import Table

_KINDS = {'segm': 'mask', 'bbox': 'box', 'boundary': 'boundary'}
_PRECISIONS = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')
_RECALLS = ('AR', 'ARs', 'ARm', 'ARl')
_BINS = ('AP1', 'AP2', 'AP3', 'AP4', 'bAP')
_BIN_LIMITS = {
    'lvis': ('<10', '10-99', '100-999', '>=1000'),
    'coco-lt': ('<20', '20-399', '400-7999', '>=8000'),
}
_MEANINGS = {
    'old': 'the {cap} best results of each image',
    'coco': 'the {cap} best results of each image and category',
    'fixed': 'the {cap} best results of each category over all images',
    'pool': 'as AP_fixed@{cap}, one curve over the results of all categories',
    'bins': 'as AP_old@{cap}, mean over categories of so many training instances',
    'rerank': 'the {inner} best results of each category, of these the {cap} best of each image',
    'subset': 'as if only groups {inner} existed, the {cap} best results of each image',
}
_PROTOCOL = re.compile(r'(old|coco|fixed|pool|bins|rerank|subset-)(\w*)@(-?\d+)$')
_NO_TERMINAL = 250  # columns: nothing is cut off in a file
_LONGEST_NAME = 24


def print_report(
    report: dict[str, dict[str, dict]],
    *,
    title: str = '',
    bins: str | None = None,
    file: IO[str] | None = None,
) -> None:
    """Print what `evaluate` returns, in percent.

    Args:
        report: By type of IoU and protocol; ``per_category``, if there, becomes a table as well.
        title: What was evaluated, such as the name of the result file.
        bins: Which limits the bins have, ``'lvis'`` or ``'coco-lt'``.
        file: Where to; by default standard output.
    """
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        console = Console(file=file, width=_NO_TERMINAL, highlight=False)
    for iou_type, protocols in report.items():
        values = {name: found for name, found in protocols.items() if name != 'per_category'}
        kind = _KINDS.get(iou_type, iou_type)
        console.print(_precision_table(f'{kind} AP in % {title}'.strip(), values))
        bin_table = _bin_table(f'{kind} AP in % by training instances', values, bins)
        for table in (bin_table, _recall_table(f'{kind} AR in %', values)):
            if table is not None:
                console.print(table)
        if 'per_category' in protocols:
            heading = f'{kind} AP in % by category'
            console.print(_category_table(heading, protocols['per_category'], list(values)))
    for line in _legend(report):
        console.print(line, soft_wrap=True)


def format_value(value: float | None) -> str:
    """A value in [0, 1] in percent; a dash where it is undefined."""
    return '-' if value is None or value < 0 else f'{100 * value:.2f}'


def _new_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify='left', box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify='right', no_wrap=True)
    table.columns[0].justify = 'left'
    return table


def _precision_table(heading: str, values: dict[str, dict]) -> Table:
    rows = {name: found for name, found in values.items() if 'AP' in found}
    columns = [key for key in _PRECISIONS if any(key in found for found in rows.values())]
    table = _new_table(heading, 'protocol', *columns)
    for name, found in rows.items():
        table.add_row(_label(name), *(format_value(found.get(key)) for key in columns))
        plain = values.get(f'old@{name.partition("@")[2]}')
        if name.startswith('rerank') and plain is not None:
            cells = (_difference(found.get(key), plain.get(key)) for key in columns)
            table.add_row(f'  minus {_label("old@" + name.partition("@")[2])}', *cells)
    return table


def _difference(value: float | None, other: float | None) -> str:
    if value is None or other is None or value < 0 or other < 0:
        return '-'
    return f'{100 * (value - other):+.2f}'


def _bin_table(heading: str, values: dict[str, dict], bins: str | None) -> Table | None:
    rows = {name: found for name, found in values.items() if name.startswith('bins@')}
    if not rows:
        return None
    limits = _BIN_LIMITS.get(bins, ('', '', '', ''))
    heads = [f'{key}\n{limit}' for key, limit in zip(_BINS, (*limits, 'mean of bins'), strict=True)]
    table = _new_table(heading, 'protocol', *heads)
    for name, found in rows.items():
        table.add_row(_label(name), *(format_value(found.get(key)) for key in _BINS))
    return table


def _recall_table(heading: str, values: dict[str, dict]) -> Table | None:
    table = _new_table(heading, 'protocol', *_RECALLS)
    for name, found in values.items():
        cap = name.partition('@')[2]
        if f'AR@{cap}' in found:
            cells = (format_value(found.get(f'{key}@{cap}')) for key in _RECALLS)
            table.add_row(_label(name, 'AR'), *cells)
    return table if table.row_count else None


def _category_table(heading: str, rows: dict[str, dict], protocols: list[str]) -> Table:
    first = next(iter(rows.values()), {})
    shown = [name for name in protocols if name in first]
    has_counts = first.get('train_instances') is not None
    heads = ['id', 'category', 'group', 'instances', *(['training'] if has_counts else [])]
    table = _new_table(heading, *heads, *(f'AP\n{name}' for name in shown))
    table.columns[0].justify, table.columns[1].justify = 'right', 'left'
    table.columns[1].max_width = _LONGEST_NAME
    for category_id, row in rows.items():
        cells = [category_id, row['name'], row['frequency'] or '-', f'{row["instances"]:,}']
        if has_counts:
            cells.append(f'{row["train_instances"]:,}')
        table.add_row(*cells, *(format_value(row[name]['AP']) for name in shown))
    return table


def _label(protocol: str, measure: str = 'AP') -> str:
    return f'{measure}_{protocol}'


def _legend(report: dict[str, dict[str, dict]]) -> list[str]:
    """One line for each protocol that occurs."""
    lines = []
    for name in dict.fromkeys(name for protocols in report.values() for name in protocols):
        found = _PROTOCOL.match(name)
        if found is not None:
            kind, inner, cap = found.groups()
            cap = 'all' if int(cap) < 0 else cap
            meaning = _MEANINGS[kind.rstrip('-')].format(cap=cap, inner=inner)
            lines.append(f'{_label(name)}: {meaning}')
    return lines
