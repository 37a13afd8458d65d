"""Compare this repository's implementations with their peers: time, memory and equality.

Prints one JSON object per line; progress goes to stderr.
"""

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.benchmarks import items
from tools.benchmarks.item import Benchmark, run_benchmark
from tools.benchmarks.measure import BenchmarkError

THREAD_VARIABLES = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')


def find_benchmarks() -> dict[str, dict[str, Benchmark]]:
    """All benchmarks, by module of ``tools/benchmarks/items`` and then by name."""
    found = {}
    for module in pkgutil.iter_modules(items.__path__):
        loaded = importlib.import_module(f'{items.__name__}.{module.name}')
        found[module.name] = {item.name: item for item in loaded.ITEMS}
    return found


def select(found: dict[str, dict[str, Benchmark]], names: list[str]) -> list[Benchmark]:
    """The benchmarks called ``names``; the name of a module stands for all that it holds.

    Raises:
        ValueError: nothing has one of the names.
    """
    single = {name: item for group in found.values() for name, item in group.items()}
    selected: dict[str, Benchmark] = {}
    for name in names or single:
        if name in single:
            selected[name] = single[name]
        elif name in found:
            selected.update(found[name])
        else:
            known = ', '.join(sorted({*single, *found}))
            raise ValueError(f'there is no benchmark {name!r}; known are: {known}')
    return list(selected.values())


def run_here(benchmark: Benchmark, repeats: int | None) -> int:
    """Run one benchmark in this process and print its line; returns the exit code."""
    try:
        row = run_benchmark(benchmark, repeats)
    except BenchmarkError as error:
        print(f'error: {benchmark.name}: {error}', file=sys.stderr)
        return 1
    print(json.dumps(row.as_dict()), flush=True)
    if not row.equal:
        print(f'error: {benchmark.name}: the results differ from the peer', file=sys.stderr)
    return 0 if row.equal else 1


def run_apart(benchmarks: list[Benchmark], repeats: int | None) -> int:
    """Run each in a process of its own: caches and memory of one must not serve the next."""
    options = [] if repeats is None else ['--repeats', str(repeats)]
    failed = 0
    for benchmark in benchmarks:
        command = [sys.executable, __file__, benchmark.name, *options]
        failed += subprocess.run(command, check=False).returncode != 0
    return 1 if failed else 0


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(
        description='Compare implementations with their peers; prints one JSON object per line: '
        'item, peer, ours_s, peer_s (CPU seconds), ratio (peer/ours), ours_mb, peer_mb (MiB), '
        'equal. Ends with 1 when results differ.'
    )
    parser.add_argument('items', nargs='*', metavar='ITEM', help='what to run (default: all)')
    parser.add_argument('--list', action='store_true', help='print the names and stop')
    parser.add_argument('--repeats', type=int, help='timed runs (default: as the item says)')
    args = parser.parse_args()
    if args.repeats is not None and args.repeats < 1:
        parser.error('--repeats must be 1 or more')
    return args


def main() -> int:
    """Entry point; returns the exit code."""
    args = parse_args()
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, '1'))
    # Without compiled files every start of a fresh process would be charged with compilation.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    found = find_benchmarks()
    if args.list:
        for module, group in found.items():
            for item in group.values():
                print(f'{module}: {item.name} (against {item.peer})')
        return 0
    try:
        selected = select(found, args.items)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if len(selected) == 1:
        return run_here(selected[0], args.repeats)
    return run_apart(selected, args.repeats)


if __name__ == '__main__':
    sys.exit(main())
