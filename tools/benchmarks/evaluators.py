"""The two sides of the benchmarks of the evaluation: our command, and public evaluators.

Where things are, by environment variables:

- ``MMTAIL_BENCHMARK_DATA``: folder of the generated files, 3 GB for the largest set (default:
  ``work_dirs/benchmarks``). The sample they are grown from, ``lvis_val_100.json`` of lvis-api, is
  looked for there and then in the golden data (``LONGTAIL_SHARED``).
- ``MMTAIL_PEERS``: virtual environment of the peers that the project does not depend on (default:
  ``work_dirs/benchmarks/peers``). Peers that it lacks are left out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.benchmarks.item import Benchmark, say
from tools.benchmarks.measure import BenchmarkError, FreshProcess
from tools.benchmarks.result_sets import ResultSet, result_set

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get('MMTAIL_BENCHMARK_DATA', ROOT / 'work_dirs' / 'benchmarks'))
PEERS = Path(os.environ.get('MMTAIL_PEERS', DATA / 'peers'))
SHARED = Path(os.environ.get('LONGTAIL_SHARED', ROOT.parent / 'shared'))
SAMPLE = 'lvis_val_100.json'

DETECTIONS = 300
ALONE = ('--dets-per-class',)
"""Options for AP with a cap per image and nothing else."""
EVERYTHING = ('--dets-per-class', '10000', '--pool', '--rerank')
"""Options for all protocols besides the caps per image."""

# Ours and the reference agree in every bit; the others sum in another order or round.
EXACT, SUMMED, THREE_DIGITS = 1e-12, 1e-9, 6e-4
# mmdet hands boxes to lvis-api, which then takes their sizes instead of the masks'.
MAIN_KEYS = ('AP', 'AP50', 'AP75', 'APr', 'APc', 'APf')
ALL_KEYS = (*MAIN_KEYS, 'APs', 'APm', 'APl')

_MODULES = {
    'faster-coco-eval': 'faster_coco_eval',
    'hotcoco': 'hotcoco',
    'boundary-iou-api': 'boundary_iou',
}


def files_of(images: int) -> ResultSet:
    """The files of the set with so many images, which :func:`grow` makes."""
    return result_set(DATA, images, DETECTIONS)


def grow(images: int) -> Callable[[], None]:
    """A ``setup`` that makes the set, in a process of its own: its memory must not count.

    Raises:
        BenchmarkError: When called: the sample is missing or the files could not be written.
    """

    def setup() -> None:
        sample = next((p for p in _sample_places() if p.is_file()), None)
        if sample is None:
            raise BenchmarkError(
                f'there is no {SAMPLE}; put the one of lvis-api (folder data) into {DATA}'
            )
        script = ROOT / 'tools' / 'benchmarks' / 'result_sets.py'
        sizes = ('--images', str(images), '--detections', str(DETECTIONS))
        command = (sys.executable, str(script), str(sample), str(DATA), *sizes)
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            raise BenchmarkError(f'the set of {images} images could not be made')

    return setup


def _sample_places() -> tuple[Path, Path]:
    return DATA / SAMPLE, SHARED / 'golden' / 'eval' / SAMPLE


def our_process(images: int, iou: Sequence[str], options: Sequence[str] = ALONE) -> FreshProcess:
    """``tools/evaluate.py`` from files to ``OUT.json``."""
    files = files_of(images)
    command = (sys.executable, str(ROOT / 'tools' / 'evaluate.py'))
    inputs = (str(files.ground_truth), str(files.results))
    output = ('--out', str(_output(images)), '--max-dets', str(DETECTIONS))
    return FreshProcess((*command, *inputs, '--iou', *iou, *output, *options))


def _output(images: int) -> Path:
    return DATA / f'ours_{images}.json'


def peer_process(peer: str, images: int, iou: str) -> FreshProcess:
    """``tools/benchmarks/peer_evaluators.py`` in the environment that has the peer."""
    files = files_of(images)
    python = str(PEERS / 'bin' / 'python') if peer in _MODULES else sys.executable
    script = str(ROOT / 'tools' / 'benchmarks' / 'peer_evaluators.py')
    inputs = (peer, str(files.ground_truth), str(files.results), '--iou', iou)
    return FreshProcess((python, '-W', 'ignore', script, *inputs), {'PYTHONPATH': str(ROOT)})


def has_peer(peer: str) -> bool:
    """Whether the peer is installed, found without running anything."""
    if peer not in _MODULES:
        return True
    return any(PEERS.glob(f'lib/python3*/site-packages/{_MODULES[peer]}'))


def agrees(images: int, iou: str, keys: Sequence[str], tolerance: float) -> Callable:
    """A ``check`` of AP with 300 results per image: ours from the file, the peer's as printed."""

    def check(_: str, printed: str) -> bool:
        ours = json.loads(_output(images).read_text())[iou][f'old@{DETECTIONS}']
        theirs = json.loads(printed.splitlines()[-1])
        gaps = {key: abs(ours[key] - theirs[key]) for key in keys}
        worst = max(gaps, key=gaps.get)
        say(f'AP {ours["AP"]:.6f}, largest difference {gaps[worst]:.1e} ({worst})')
        return all(gap <= tolerance for gap in gaps.values())

    return check


def from_files(
    name: str,
    peer: str,
    images: int,
    iou: Sequence[str],
    *,
    options: Sequence[str] = ALONE,
    keys: Sequence[str] = ALL_KEYS,
    tolerance: float = SUMMED,
    repeats: int = 3,
) -> tuple[Benchmark, ...]:
    """The comparison of whole processes on a set, or nothing where the peer is not installed.

    Args:
        name: Of the item, to which the peer's name is added.
        peer: A key of ``peer_evaluators.PEERS``.
        images: How many images the set has.
        iou: What we compute; the peer computes the first.
        options: Of our command: which protocols.
        keys: Numbers that must agree.
        tolerance: How far they may differ.
        repeats: Timed runs of each side.
    """
    if not has_peer(peer):
        return ()
    benchmark = Benchmark(
        name=f'{name}_{peer}',
        peer=f'{peer}, AP@{DETECTIONS} ({iou[0]}), {images} images',
        ours=our_process(images, iou, options),
        peer_run=peer_process(peer, images, iou[0]),
        check=agrees(images, iou[0], keys, tolerance),
        setup=grow(images),
        repeats=repeats,
    )
    return (benchmark,)
