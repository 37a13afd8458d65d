"""A page of made-up numbers that need no scoring: two runs, categories of all groups."""

import base64

import numpy as np

from plugins.evaluation.report import data as records
from plugins.evaluation.report.crops import draw_crop

NAMES = ('baseline', 'seesaw')
STEPS = 250


def sample_report(categories: int = 1203, runs: int = 2) -> records.ReportData:
    """A report on ``categories`` categories; every tenth is not defined."""
    generator = np.random.default_rng(7)
    train = np.sort(np.exp(generator.uniform(0, 10.5, categories)).astype(int))[::-1]
    names = [f'thing_{k:04d}' for k in range(1, categories + 1)]
    names[3], names[4] = 'cat', 'caterpillar_(larva)'
    names[5] = '</script><b>sneaky'
    return records.ReportData(
        title=' and '.join(NAMES[:runs]),
        source_words='val.json: 100 images, 1,000 annotations, made up',
        iou_words='mask IoU',
        counts_words='instances in the training split',
        bins_words='10, 100, 1,000',
        curve_steps=STEPS,
        protocols=_protocols(generator, runs),
        measures=[
            records.Measure('AP', 'AP_old@300', 'AP with at most 300 detections per image'),
            records.Measure('fixed', 'AP_fixed@10000', 'AP with 10,000 per category'),
            records.Measure('AR', 'AR_old@300', 'recall', is_default=False),
            records.Measure('detections', 'detections', 'how many', is_share=False),
        ],
        categories=records.CategoryData(
            id=list(range(1, categories + 1)),
            name=names,
            group=['f' if n > 2000 else 'c' if n > 60 else 'r' for n in train],
            train=train.tolist(),
            annotations=[0 if k % 10 == 9 else int(n) // 50 + 1 for k, n in enumerate(train)],
        ),
        runs=[_run(generator, run, train) for run in range(runs)],
        examples=[
            records.ExampleList('worst', 'Worst categories', [3, 4]),
            records.ExampleList('best', 'Best categories', [5]),
        ],
        gallery={k: [_examples(k, run) for run in range(runs)] for k in (3, 4, 5)},
    )


def _protocols(generator: np.random.Generator, runs: int) -> list[records.ProtocolData]:
    def values(keys):
        drawn = generator.uniform(0.1, 0.4, (runs, len(keys))).tolist()
        return [dict(zip(keys, row, strict=True)) for row in drawn]

    old = values(['AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf', 'AR'])
    old[0] |= {'AP': 0.25, 'APs': None}
    return [
        records.ProtocolData('AP_old@300', old),
        records.ProtocolData('AP_fixed@10000', values(['AP', 'AP50', 'APr', 'APc', 'APf'])),
        records.ProtocolData('AP_pool@10000', values(['AP', 'APr', 'APc', 'APf'])),
        records.ProtocolData('bins@300', values(['AP1', 'AP2', 'AP3', 'AP4'])),
    ]


def _run(generator: np.random.Generator, run: int, train: np.ndarray) -> records.RunData:
    base = np.clip(0.06 * np.log(train) + generator.normal(0, 0.1, len(train)) + run / 20, 0, 1)
    undefined = np.arange(len(train)) % 10 == 9

    def column(values):
        return [None if u else round(float(v), 6) for v, u in zip(values, undefined, strict=True)]

    points = np.linspace(1, 0, 101) ** (0.2 + 1 / (base[:, None, None] + 0.1) / 4)
    curves = np.rint(np.broadcast_to(points, (len(train), 3, 101)) * STEPS).astype(np.uint8)
    curves[undefined] = 255
    return records.RunData(
        name=NAMES[run],
        source=f'{NAMES[run]}.json',
        detections=12_345,
        warnings=['2 results have an unknown category id and were left out'] if run else [],
        columns={
            'AP': column(base),
            'fixed': column(np.clip(base * 1.05, 0, 1)),
            'AR': column(np.clip(base * 1.3, 0, 1)),
            'detections': (train // 20 + 1).tolist(),
        },
        curves=base64.b64encode(curves.tobytes()).decode(),
        reliability=[_diagram(iou, group, run) for iou in (0.5, 0.75) for group in ('all', *'rcf')],
    )


def _diagram(iou: float, group: str, run: int) -> records.ReliabilityData:
    score = np.linspace(0.025, 0.975, 20)
    precision = score ** (1.5 + run) * (1.4 - iou)
    count = np.rint(20_000 * (1 - score) ** 3 + 10).astype(int)
    count[4] = 0
    listed = [
        [float(value) if n else None for value, n in zip(values, count, strict=True)]
        for values in (score, precision)
    ]
    return records.ReliabilityData(iou, group, count.tolist(), *listed, ece=0.1234 + run / 100)


def _examples(k: int, run: int) -> records.RunExamples:
    picture = draw_crop(None, (0, 0, 100, 80), [10, 10, 50, 40], [30, 20, 50, 40])
    found = records.Crop(picture, f'detection {k}', 0.91 - run / 10, 'badly placed (IoU 0.31)', 42)
    missed = records.Crop(picture, f'missed {k}', None, 'nothing found here', 43)
    return records.RunExamples(
        records.CropList([found] * 3, 57), records.CropList([missed] * 2, 2 + run)
    )
