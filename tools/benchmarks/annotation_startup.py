"""Time and memory until every rank of a job has the annotations, with and without a cache.

Starts the ranks at the same moment, each as a process of its own, and prints a line of JSON for
each with ``wall_s``, from the start of the loading, ``cpu_s``, ``peak_mb`` (above the imports) and
``private_mb``, what it alone holds after every record was read once.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.benchmarks.measure import BenchmarkError, measure

READY = 'ready\n'


def run_rank(path: Path, cache_dir: Path) -> dict:
    """Load the annotations and read all of them."""
    import plugins  # noqa: F401
    from plugins.datasets import LVISFormatDataset

    print(READY, end='', flush=True)
    sys.stdin.readline()

    def load(_: object) -> tuple[LVISFormatDataset, float]:
        begin = time.perf_counter()
        dataset = LVISFormatDataset(
            ann_file=str(path),
            cache_dir=cache_dir,
            verify_images=False,
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
        )
        return dataset, time.perf_counter() - begin

    loaded = measure(load, None)
    dataset, wall = loaded.result
    before = private_mb()
    instances = sum(len(record['instances']) for record in dataset)
    return dict(
        images=len(dataset),
        instances=instances,
        wall_s=round(wall, 3),
        cpu_s=round(loaded.cost.seconds, 3),
        peak_mb=loaded.cost.megabytes and round(loaded.cost.megabytes, 1),
        private_mb=round(private_mb() - before, 1),
    )


def private_mb() -> float:
    """Memory that no other process can share, in MiB."""
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith('Private_Dirty')) / 1024


def start_ranks(path: Path, ranks: int, cache_dir: Path) -> list[dict]:
    """Outcomes of so many processes that load at the same time.

    Raises:
        BenchmarkError: One of them failed.
    """
    command = [sys.executable, '-W', 'ignore', __file__, str(path), '--cache-dir', str(cache_dir)]
    processes = [
        subprocess.Popen(
            [*command, '--rank'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(ranks)
    ]
    try:
        for process in processes:
            if process.stdout.readline() != READY:
                raise BenchmarkError('a rank did not start; its error stands above')
        for process in processes:
            process.stdin.write('\n')
            process.stdin.flush()
        # A rank may log something before its outcome.
        outputs = [process.communicate()[0].splitlines() for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        raise BenchmarkError('a rank ended with an error, which stands above')
    return [json.loads(lines[-1]) for lines in outputs]


def parse_args() -> argparse.Namespace:
    """Command line of this tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('annotations', type=Path, help='annotation file in LVIS format')
    parser.add_argument('--ranks', type=int, default=4, help='processes (default: 4)')
    parser.add_argument(
        '--cache-dir', type=Path, required=True, help='folder of the cache; empty to time its build'
    )
    parser.add_argument('--rank', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ranks < 1:
        parser.error('--ranks must be 1 or more')
    return args


def main() -> int:
    """Entry point; prints one line per rank."""
    args = parse_args()
    if args.rank:
        print(json.dumps(run_rank(args.annotations, args.cache_dir)))
        return 0
    try:
        outcomes = start_ranks(args.annotations, args.ranks, args.cache_dir)
    except BenchmarkError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for outcome in outcomes:
        print(json.dumps(outcome))
    return 0


if __name__ == '__main__':
    sys.exit(main())
