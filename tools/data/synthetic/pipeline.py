"""From options to a data set on disk: in parallel, interruptible, recognised when it exists."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
from tqdm import tqdm

from .annotate import FOLDERS
from .assemble import assemble_split
from .options import SyntheticDataError, SyntheticOptions
from .parts import Chunk, make_chunk, part_file
from .plan import SPLITS, SplitPlan, draw_plans
from .state import (
    annotation_file,
    check_disk,
    delete_output,
    delete_parts,
    is_finished,
    write_state,
)

# Images per chunk, with and without pixels: a second or so of work.
CHUNK_IMAGES = 16
CHUNK_ANNOTATIONS = 256


@dataclass(frozen=True)
class GeneratedDataset:
    """Where a data set lies.

    Args:
        root: folder that holds ``train2017``, ``val2017`` and ``annotations``.
        train_annotations, val_annotations: LVIS v1 files.
        was_there: True when a finished set with equal options was found and left as it is.
    """

    root: Path
    train_annotations: Path
    val_annotations: Path
    was_there: bool


def generate_dataset(
    root: str | Path,
    options: SyntheticOptions | None = None,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> GeneratedDataset:
    """Generate a data set, finish an interrupted one, or find that it is already there.

    Args:
        root: output folder; made if necessary, otherwise empty or an earlier output.
        options: what to generate; None is the small set of the quickstart.
        workers: processes; None takes one per available core. The files do not depend on it.
        overwrite: delete an earlier output of the generator in the folder first.
        progress: show a progress bar.

    Returns:
        The paths of the data set.

    Raises:
        SyntheticDataError: the folder holds something else, another data set, or the disk is full.
    """
    root, options = Path(root), options or SyntheticOptions()
    if workers is not None and workers < 1:
        raise SyntheticDataError(f'workers must be at least 1, not {workers}')
    if overwrite:
        delete_output(root)
    elif is_finished(root, options):
        delete_parts(root)
        return _result(root, was_there=True)
    check_disk(root, options)
    write_state(root, options.parameters(), finished=False)
    for folder in (
        'annotations',
        '.parts',
        *(() if options.annotations_only else FOLDERS.values()),
    ):
        (root / folder).mkdir(exist_ok=True)
    plans = draw_plans(options)
    _make_chunks(root, plans, options, workers or _available_cores(), progress)
    _assemble(root, plans, options)
    write_state(root, options.parameters(), finished=True)
    delete_parts(root)
    return _result(root, was_there=False)


def _result(root: Path, *, was_there: bool) -> GeneratedDataset:
    return GeneratedDataset(root, *(annotation_file(root, s) for s in SPLITS), was_there)


@dataclass(frozen=True)
class _Span:
    """Images start to stop - 1 of a split, which make up one chunk."""

    plan: SplitPlan
    number: int
    start: int
    stop: int

    def part(self, root: Path) -> Path:
        return part_file(root, self.plan.name, self.number)


def _spans(plan: SplitPlan, options: SyntheticOptions) -> list[_Span]:
    size = CHUNK_ANNOTATIONS if options.annotations_only else CHUNK_IMAGES
    return [
        _Span(plan, number, start, min(start + size, len(plan)))
        for number, start in enumerate(range(0, len(plan), size))
    ]


def _make_chunks(
    root: Path, plans: list[SplitPlan], options: SyntheticOptions, workers: int, progress: bool
) -> None:
    """Make every chunk that has no part yet."""
    spans = [span for plan in plans for span in _spans(plan, options)]
    missing = [span for span in spans if not span.part(root).exists()]
    # One by one: the plans of all chunks together would be large.
    chunks = (
        Chunk(root, s.plan.name, s.number, s.plan.images(s.start, s.stop), options) for s in missing
    )
    total = sum(len(plan) for plan in plans)
    with tqdm(
        total=total,
        initial=total - sum(span.stop - span.start for span in missing),
        unit='image',
        desc=f'synthetic data ({root.name})',
        disable=not progress,
    ) as bar:
        for images in _run(chunks, min(workers, len(missing))):
            bar.update(images)


def _run(chunks: Iterator[Chunk], workers: int) -> Iterator[int]:
    """Make chunks in parallel, only a few of them in flight; yields their numbers of images."""
    if workers <= 1:
        yield from map(make_chunk, chunks)
        return
    # Forking a process that already runs threads (torch, OpenCV) can hang; spawning cannot.
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    pending = set()
    try:
        for chunk in chunks:
            with _sigint_held_back():
                pending.add(pool.submit(make_chunk, chunk))
            if len(pending) >= 2 * workers:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        yield from (future.result() for future in pending)
    except BrokenProcessPool:
        raise SyntheticDataError(
            'a worker process was killed, perhaps for want of memory; the same command with fewer '
            '--workers continues'
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _sigint_held_back() -> Iterator[None]:
    """Start workers with Ctrl-C blocked for good; the parent gets it when this ends.

    Ctrl-C reaches the whole process group: the workers finish their chunk, the parent stops.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # A worker holds both ends of its queue and would wait for ever for a parent that was killed.
    multiprocessing.parent_process().join()
    os._exit(1)


def _available_cores() -> int:
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _assemble(root: Path, plans: list[SplitPlan], options: SyntheticOptions) -> None:
    train_image_count, annotation_id = None, 1
    for plan in plans:
        parts = [span.part(root) for span in _spans(plan, options)]
        image_count, annotation_id = assemble_split(
            annotation_file(root, plan.name),
            parts,
            options,
            train_image_count=train_image_count,
            first_annotation_id=annotation_id,
        )
        if train_image_count is None:
            train_image_count = image_count
