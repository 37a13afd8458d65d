"""AP on 4,000 images and on as many as LVIS val has, 300 results each.

``everything`` is AP at 300 results per image, fixed and pooled AP at 10,000 per class and the
re-ranking check, for masks and boundaries, in one run, while the peer computes the first alone.
``memory`` compares that with the first alone, both ours, when no file has to be read.
"""

import dataclasses
import time

from tools.benchmarks.evaluators import ALONE, DETECTIONS, EVERYTHING, files_of, from_files, grow
from tools.benchmarks.item import Benchmark, say
from tools.light import import_light

NAME, PEER = 'evaluate_scale', 'hotcoco'
SIZES = {'4000': 4000, 'val': 19_809}
BOTH = ('segm', 'boundary')


def read_into_memory() -> tuple:
    """Annotations and results of the largest set, the masks' codes in memory of their own."""
    import numpy as np

    grow(SIZES['val'])()
    files = files_of(SIZES['val'])
    engine = import_light('evaluation.engine')
    truth = engine.read_ground_truth(files.ground_truth)
    results = engine.read_results(files.results, truth, iou_type='segm')
    return truth, dataclasses.replace(results, rle=np.array(results.rle))


def evaluate_everything(inputs: tuple) -> dict:
    """All protocols for masks and boundaries."""
    return evaluate(inputs, 'everything', iou_types=BOTH, rerank=(10_000,))


def evaluate_alone(inputs: tuple) -> dict:
    """AP with 300 results per image."""
    return evaluate(inputs, 'AP alone', dets_per_class=(), pool=False)


def evaluate(inputs: tuple, what: str, **request: object) -> dict:
    """Evaluate and tell the wall time, which is what a user waits for."""
    engine = import_light('evaluation.engine')
    begin = time.perf_counter()
    report = engine.evaluate(*inputs, engine.Request(max_dets=(DETECTIONS,), **request))
    say(f'{what}: {time.perf_counter() - begin:.1f} s of wall time')
    return report


def has_same_precision(everything: dict, alone: dict) -> bool:
    """Whether AP is the same in company and alone."""
    protocol = f'old@{DETECTIONS}'
    return everything['segm'][protocol] == alone['segm'][protocol]


FROM_FILES = tuple(
    item
    for size, images in SIZES.items()
    for what, iou, options in (('old', ('segm',), ALONE), ('everything', BOTH, EVERYTHING))
    for item in from_files(f'{NAME}_{size}_{what}', PEER, images, iou, options=options, repeats=2)
)

ITEMS = (
    *FROM_FILES,
    Benchmark(
        name=f'{NAME}_val_memory',
        peer=f'our own AP@{DETECTIONS} (segm) alone, {SIZES["val"]} images in memory',
        ours=evaluate_everything,
        peer_run=evaluate_alone,
        check=has_same_precision,
        setup=read_into_memory,
        repeats=2,
    ),
)
