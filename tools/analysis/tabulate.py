"""Tabulate the validations of runs: mean and standard deviation over seeds, one row per config.

Metrics are read from the logs in the work dirs. Values are points (AP x 100); the number behind ±
is the sample standard deviation over the seeds.
"""

import argparse
import fnmatch
import statistics
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.analysis.run_logs import Run, find_runs, without_seed
from tools.light import import_light

DEFAULT_KEYS = tuple(f'lvis/segm_{name}_old@300' for name in ('AP', 'APr', 'APc', 'APf'))


@dataclass(frozen=True, slots=True)
class Row:
    """Runs that differ in nothing but the seed, and the validation that counts of each."""

    label: str
    runs: tuple[Run, ...]
    chosen: tuple[dict[str, float], ...]


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: tabulate.py work_dirs --keys 'lvis/segm_AP*_fixed@10000' --out table.md",
    )
    parser.add_argument(
        'runs', nargs='+', metavar='RUNS', help='work dir, or folder that holds work dirs'
    )
    parser.add_argument(
        '--keys',
        nargs='+',
        default=list(DEFAULT_KEYS),
        metavar='KEY',
        help='metrics, one column each; * and ? stand for other characters (default: mask '
        'AP_old@300 with APr, APc, APf)',
    )
    parser.add_argument(
        '--best',
        metavar='KEY',
        help='take the validation of each run with the highest KEY instead of its newest one',
    )
    parser.add_argument('--out', metavar='FILE', help='also write the table here')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Read, group, print and write; returns the exit code."""
    args = parse_args(argv)
    try:
        runs = {(run.folder, run.is_test): run for path in args.runs for run in find_runs(path)}
        text = tabulate(list(runs.values()), args.keys, args.best)
        print(text)
        if args.out:
            _write(Path(args.out), text)
    except (ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def tabulate(runs: list[Run], keys: list[str], best: str | None = None) -> str:
    """Make the table and the notes below it.

    Args:
        runs: Of any configs and seeds.
        keys: Metric keys or patterns of them.
        best: Key whose maximum over a run chooses its validation; by default the newest one that
            has all keys.

    Returns:
        Markdown.

    Raises:
        ValueError: No run has a metric that is asked for.
    """
    columns = _columns(keys, runs)
    needed = {*columns, best} - {None}
    rows, notes = [], []
    for label, members in _groups(runs).items():
        chosen = [(run, _choose(run, needed, best)) for run in members]
        chosen, dropped = _one_per_seed([pair for pair in chosen if pair[1] is not None])
        notes += dropped
        if chosen:
            rows.append(Row(label, *zip(*chosen, strict=True)))
    unfinished = [run for run in runs if _choose(run, needed, best) is None]
    if not rows:
        raise ValueError(f'no run has a validation with all of {", ".join(sorted(needed))}')
    if unfinished:
        notes.append(f'Without a finished validation of these metrics: {_folders(unfinished)}.')
    how = f'best by {best}' if best else 'newest'
    notes.insert(0, f'Points, mean ± sample standard deviation over seeds; {how} validation.')
    headings = ['config', 'seeds', 'at', *map(_heading, columns)]
    cells = [[row.label, _seeds(row), _steps(row), *_values(row, columns)] for row in rows]
    return '\n'.join([*_markdown(headings, cells), '', *notes])


def _columns(keys: list[str], runs: list[Run]) -> list[str]:
    known = {key: None for run in runs for record in run.validations for key in record}
    known = [key for key in known if '/' in key]
    columns = {name: None for key in keys for name in known if fnmatch.fnmatchcase(name, key)}
    for key in keys:
        if not any(fnmatch.fnmatchcase(name, key) for name in columns):
            choices = ', '.join(name for name in known if '_AP_' in name) or 'no metric at all'
            raise ValueError(f'--keys: no validation has {key}; these runs have {choices}')
    return list(columns)


def _groups(runs: list[Run]) -> dict[str, list[Run]]:
    """Runs of one experiment together, by a name for it."""
    experiments = defaultdict(list)
    for run in runs:
        experiments[run.config, run.is_test, tuple(sorted(run.settings.items()))].append(run)
    names = [key[:2] for key in experiments]
    groups = {}
    for (config, is_test, _), members in experiments.items():
        label = f'{config} (test)' if is_test else config
        if names.count((config, is_test)) > 1:
            # Options of the command line made several experiments of one config.
            label += f' [{without_seed(members[0].folder.name)}]'
        while label in groups:
            label += "'"
        groups[label] = members
    return groups


def _choose(run: Run, needed: set[str], best: str | None) -> dict[str, float] | None:
    complete = [record for record in run.validations if needed <= record.keys()]
    if best is None or not complete:
        return complete[-1] if complete else None
    # NaN, from a run that diverged, is the worst of all.
    return max(complete, key=lambda record: (record[best] == record[best], record[best]))


def _one_per_seed(chosen: list[tuple[Run, dict]]) -> tuple[list[tuple[Run, dict]], list[str]]:
    """A seed counts once, else the deviation would be too small; the last folder stands for it."""
    last = {run.seed: run for run, _ in chosen if run.seed is not None}
    kept = [pair for pair in chosen if pair[0].seed is None or last[pair[0].seed] is pair[0]]
    kept.sort(key=lambda pair: (pair[0].seed is None, pair[0].seed or 0))
    notes = [
        f'`{run.folder}` repeats seed {run.seed} of `{last[run.seed].folder}` and is left out.'
        for run, _ in chosen
        if run.seed is not None and last[run.seed] is not run
    ]
    return kept, notes


def _folders(runs: list[Run]) -> str:
    return ', '.join(f'`{run.folder}`' for run in runs)


def _heading(key: str) -> str:
    """``lvis/segm_AP_old@300`` -> ``segm AP_old@300``; the protocol stays."""
    return key.rpartition('/')[2].replace('_', ' ', 1)


def _seeds(row: Row) -> str:
    return ', '.join('?' if run.seed is None else str(run.seed) for run in row.runs)


def _steps(row: Row) -> str:
    """Epoch or iteration of the validations; seeds that stand at different ones show it."""
    steps = sorted({int(record['step']) for record in row.chosen if 'step' in record})
    return ', '.join(map(str, steps)) or '-'


def _values(row: Row, columns: list[str]) -> list[str]:
    return [_points([record[key] for record in row.chosen]) for key in columns]


def _points(values: list[float]) -> str:
    if any(value != value or value == -1 for value in values):  # NaN, or no annotations
        return '-'
    mean = f'{100 * statistics.fmean(values):.1f}'
    return f'{mean} ± {100 * statistics.stdev(values):.1f}' if len(values) > 1 else mean


def _markdown(headings: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = ['-' * width for width in widths]
    lines = [headings, rule, *rows]
    return [
        '| ' + ' | '.join(f'{c:<{w}}' for c, w in zip(cells, widths, strict=True)) + ' |'
        for cells in lines
    ]


def _write(path: Path, text: str) -> None:
    with import_light('atomic_file').atomic_file(path) as file:
        file.write(f'{text}\n'.encode())


if __name__ == '__main__':
    sys.exit(main())
