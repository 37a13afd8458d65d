"""Scores runs and collects everything that the page shows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from plugins.evaluation.calibration import reliability
from plugins.evaluation.engine import BIN_LIMITS, GroundTruth, Results
from plugins.evaluation.report.choice import choose_examples
from plugins.evaluation.report.columns import (
    CURVE_STEPS,
    as_list,
    category_columns,
    category_curves,
    measures,
)
from plugins.evaluation.report.data import (
    CategoryData,
    ProtocolData,
    ReliabilityData,
    ReportData,
    RunData,
    RunExamples,
)
from plugins.evaluation.report.mistakes import Mistakes, ReadPicture
from plugins.evaluation.report.scoring import RunScores, Settings, observations, score_run
from plugins.evaluation.report.shapes import Shapes

_CALIBRATION_IOUS = (0.5, 0.75)
_GROUPS = 'rcf'
_COMPARED = {'segm': 'mask IoU', 'bbox': 'box IoU'}


@dataclass(frozen=True)
class Run:
    """Results with the name that the report gives them."""

    name: str
    results: Results


def gather(
    ground_truth: GroundTruth,
    runs: list[Run],
    settings: Settings,
    *,
    read_picture: ReadPicture | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ReportData:
    """Score every run and collect its numbers and examples.

    Args:
        ground_truth: What all runs are scored against, with masks for ``segm``.
        runs: One or more; the others are compared with the first one.
        settings: What to compute and how much to show.
        read_picture: Gives the picture of an image id, uint8 (H, W, 3) BGR or None.
        progress: Is told about each step before it begins.
    """
    scores, data = [], []
    for run in runs:
        progress(f'scoring {run.name}')
        scores.append(score_run(ground_truth, run.results, settings))
        data.append(_run_data(run, scores[-1], ground_truth, settings))
    annotations = scores[0].matches.n_gt[0]
    precision = np.array([[np.nan if v is None else v for v in d.columns['AP']] for d in data])
    names = [run.name for run in runs]
    examples = choose_examples(precision, annotations, names, settings.listed)
    wanted = sorted({k for found in examples for k in found.categories})
    gallery: dict[int, list[RunExamples]] = {k: [] for k in wanted}
    for run, scored in zip(runs, scores, strict=True):
        progress(f'picturing {run.name}')
        shapes = Shapes(ground_truth, run.results, settings.iou_type)
        mistakes = Mistakes(
            ground_truth, run.results, scored.matches, scored.keep, shapes, read_picture
        )
        for k in wanted:
            gallery[k].append(mistakes.examples(k, settings.examples))
    return ReportData(
        title=settings.title,
        source_words=_source_words(ground_truth),
        iou_words=_COMPARED[settings.iou_type],
        counts_words=_counts_words(ground_truth),
        bins_words=', '.join(f'{limit:,}' for limit in BIN_LIMITS[settings.bins]),
        curve_steps=CURVE_STEPS,
        protocols=[
            ProtocolData(label, [scored.summaries[label] for scored in scores])
            for label in scores[0].summaries
        ],
        measures=measures(settings),
        categories=_category_data(ground_truth, annotations),
        runs=data,
        examples=examples,
        gallery=gallery,
    )


def _run_data(
    run: Run, scores: RunScores, ground_truth: GroundTruth, settings: Settings
) -> RunData:
    return RunData(
        name=run.name,
        source=run.results.source,
        detections=len(run.results),
        warnings=list(run.results.warnings),
        columns=category_columns(scores, ground_truth, settings),
        curves=category_curves(scores.plain.precision),
        reliability=_reliability(scores, ground_truth, settings),
    )


def _reliability(
    scores: RunScores, ground_truth: GroundTruth, settings: Settings
) -> list[ReliabilityData]:
    diagrams = []
    for iou in _CALIBRATION_IOUS:
        seen = observations(scores, ground_truth, settings, iou)
        of = np.searchsorted(ground_truth.category_ids, seen.category)
        for group in ('all', *_GROUPS):
            members = ground_truth.frequency == ord(group) if group != 'all' else None
            if members is not None and not members.any():
                continue
            part = slice(None) if members is None else members[of]
            found = reliability(seen.score[part], seen.matched[part])
            diagrams.append(
                ReliabilityData(
                    iou,
                    group,
                    found.count.tolist(),
                    as_list(found.score),
                    as_list(found.matched),
                    as_list(np.array([found.error]))[0],
                )
            )
    return diagrams


def _category_data(ground_truth: GroundTruth, annotations: np.ndarray) -> CategoryData:
    k = len(ground_truth.names)
    counts = ground_truth.train_instances
    return CategoryData(
        id=ground_truth.category_ids.tolist(),
        name=list(ground_truth.names),
        group=[chr(code) if code else '' for code in ground_truth.frequency.tolist()],
        train=[None] * k if counts is None else counts.tolist(),
        annotations=annotations.tolist(),
    )


def _counts_words(ground_truth: GroundTruth) -> str:
    if ground_truth.train_instances is None:
        return 'annotations of the evaluated split (training instances are not known)'
    return 'instances in the training split'


def _source_words(ground_truth: GroundTruth) -> str:
    groups = [
        f'{int((ground_truth.frequency == ord(code)).sum()):,} {name}'
        for code, name in zip(_GROUPS, ('rare', 'common', 'frequent'), strict=True)
    ]
    split = f' ({", ".join(groups)})' if ground_truth.frequency.any() else ''
    return (
        f'{ground_truth.source}: {len(ground_truth.image_ids):,} images, '
        f'{len(ground_truth.ann_id):,} annotations, {len(ground_truth.names):,} categories{split}'
    )
