"""What a benchmark consists of, and how its two sides are run against each other."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from tools.benchmarks.measure import Cost, FreshProcess, measure


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One comparison of our implementation with a peer's on the same inputs.

    A side is a function of the inputs, or a :class:`FreshProcess` whose result is what it prints.

    Args:
        name: as given on the command line and reported.
        peer: what we are compared with, for the report.
        ours: our side.
        peer_run: the peer's side: imported and called, never a copy of it.
        check: receives our result and the peer's; whether they are equal in the sense that the
            item promises. A ratio counts only if it holds.
        setup: makes the inputs, outside the clock; also the place to import what is heavy.
        repeats: timed runs of each side.
    """

    name: str
    peer: str
    ours: Callable[[object], object] | FreshProcess
    peer_run: Callable[[object], object] | FreshProcess
    check: Callable[[object, object], bool]
    setup: Callable[[], object] = lambda: None
    repeats: int = 5


@dataclass(frozen=True)
class Row:
    """Outcome of a benchmark, the fields in the order of the report.

    Args:
        item: name of the benchmark.
        peer: what we were compared with.
        ours_s, peer_s: CPU seconds, children included, minimum over the repeats.
        ratio: ``peer_s / ours_s``; None when the results differ, for it would mean nothing.
        ours_mb, peer_mb: highest additional memory over the repeats in MiB (of a fresh process:
            its whole memory), None where the system does not tell.
        equal: whether the results agreed in every run.
    """

    item: str
    peer: str
    ours_s: float
    peer_s: float
    ratio: float | None
    ours_mb: float | None
    peer_mb: float | None
    equal: bool

    def as_dict(self) -> dict[str, object]:
        """Field values by name, numbers to four significant digits."""
        return {
            key: float(f'{value:.4g}') if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def run_benchmark(benchmark: Benchmark, repeats: int | None = None) -> Row:
    """Run both sides in turn: once to warm up, then ``repeats`` times against the clock.

    Args:
        benchmark: the item.
        repeats: timed runs of each side, 1 or more; None: as the item says.
    """
    say(f'{benchmark.name}: making the inputs')
    inputs = benchmark.setup()
    use_one_thread()
    sides = (benchmark.ours, benchmark.peer_run)
    first = [measure(side, inputs) for side in sides]
    say(
        f'{benchmark.name}: first run, compilation included: '
        f'ours {first[0].cost.seconds:.3f} s, peer {first[1].cost.seconds:.3f} s'
    )
    equal = bool(benchmark.check(first[0].result, first[1].result))
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for repeat in range(repeats or benchmark.repeats):
        ours, peer = (measure(side, inputs) for side in sides)
        costs[0].append(ours.cost)
        costs[1].append(peer.cost)
        equal = equal and bool(benchmark.check(ours.result, peer.result))
        say(
            f'{benchmark.name}: run {repeat + 1}/{repeats or benchmark.repeats}: '
            f'ours {ours.cost.seconds:.3f} s, peer {peer.cost.seconds:.3f} s'
        )
    ours_s, peer_s = (min(cost.seconds for cost in side) for side in costs)
    ours_mb, peer_mb = (_highest([cost.megabytes for cost in side]) for side in costs)
    # The clock can stand still for a very short run.
    ratio = peer_s / max(ours_s, 1e-9) if equal else None
    return Row(benchmark.name, benchmark.peer, ours_s, peer_s, ratio, ours_mb, peer_mb, equal)


def use_one_thread() -> None:
    """Limit the libraries that ``setup`` loaded and that do not follow ``OMP_NUM_THREADS``."""
    if 'cv2' in sys.modules:
        sys.modules['cv2'].setNumThreads(1)
    if 'torch' in sys.modules:
        sys.modules['torch'].set_num_threads(1)


def say(text: str) -> None:
    """Progress goes to stderr: stdout carries the report alone."""
    print(text, file=sys.stderr, flush=True)


def _highest(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
