"""Scores one run by every protocol of the page, from one matching pass."""

from dataclasses import dataclass

import numpy as np

from plugins.evaluation.calibration import MatchingOptions, Observations, observe
from plugins.evaluation.engine import (
    BIN_LIMITS,
    LVIS,
    UNDEFINED,
    Curves,
    GroundTruth,
    Matches,
    Results,
    Rules,
    accumulate,
    accumulate_pools,
    bin_precision,
    category_precision,
    keep_per_category,
    keep_per_image,
    match,
    summarise,
)

PAIRS_AT = 0.5
"""IoU at which false positives and misses are told apart from matches."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to compute and how much to show.

    Attributes:
        title: Heading of the page.
        iou_type: ``'segm'`` or ``'bbox'``.
        with_boundary: Boundary AP, too; only with ``'segm'``.
        rules: `LVIS` or `COCO`.
        max_dets: Results per image (COCO: per image and category); negative is no cap.
        dets_per_class: Results per category of AP_fixed and AP_pool; negative is no cap.
        bins: ``'lvis'`` or ``'coco-lt'``, bins of training instances.
        listed: Categories in each list of examples.
        examples: Pictures of each kind per category.
    """

    title: str
    iou_type: str = 'segm'
    with_boundary: bool = False
    rules: Rules = LVIS
    max_dets: int = 300
    dets_per_class: int = 10_000
    bins: str = 'lvis'
    listed: int = 8
    examples: int = 6

    @property
    def plain_label(self) -> str:
        """Name of the protocol with a cap per image."""
        kind = 'coco' if self.rules.cap_per_category else 'old'
        return f'{kind}@{self.max_dets}'

    @property
    def fixed_label(self) -> str:
        """Name of the protocol with a cap per category."""
        return f'fixed@{self.dets_per_class}'


@dataclass(frozen=True)
class RunScores:
    """Scores of one run.

    Attributes:
        matches: Decisions, with the matched annotations at IoU 0.5.
        keep: bool (M,), results below the cap per image.
        plain: Curves of those.
        fixed: Curves of the results below the cap per category.
        boundary: Like ``plain``, with boundary IoU; None unless asked for.
        summaries: By label of the protocol the numbers by name, None where undefined.
    """

    matches: Matches
    keep: np.ndarray
    plain: Curves
    fixed: Curves
    boundary: Curves | None
    summaries: dict[str, dict[str, float | None]]


def score_run(ground_truth: GroundTruth, results: Results, settings: Settings) -> RunScores:
    """Match once and accumulate for every protocol.

    Args:
        ground_truth: The annotations, with masks for ``segm``; with training instances for bins.
        results: All detections of the run.
        settings: What to compute.
    """
    types = (settings.iou_type, 'boundary') if settings.with_boundary else (settings.iou_type,)
    found = match(
        ground_truth, results, iou_type=types, rules=settings.rules, keep_pairs_at=PAIRS_AT
    )
    matches = found[settings.iou_type]
    keep, plain, fixed, summaries = _summaries(matches, ground_truth, settings, '')
    boundary = None
    if settings.with_boundary:
        _, boundary, _, more = _summaries(found['boundary'], ground_truth, settings, 'boundary ')
        summaries |= more
    if ground_truth.train_instances is not None:
        summaries[f'bins of AP_{settings.plain_label}'] = bin_precision(
            category_precision(plain)[:, 0],
            ground_truth.train_instances,
            BIN_LIMITS[settings.bins],
        )
    defined = {
        label: {key: None if value == UNDEFINED else value for key, value in values.items()}
        for label, values in summaries.items()
    }
    return RunScores(matches, keep, plain, fixed, boundary, defined)


def observations(
    scores: RunScores, ground_truth: GroundTruth, settings: Settings, iou: float
) -> Observations:
    """Scores of the results of AP_fixed, and whether they came true at an IoU threshold."""
    options = MatchingOptions(
        iou_type=settings.iou_type,
        iou=iou,
        rules=settings.rules.name,
        dets_per_class=settings.dets_per_class,
    )
    return observe(scores.matches, ground_truth, options)


def _summaries(
    matches: Matches, ground_truth: GroundTruth, settings: Settings, prefix: str
) -> tuple[np.ndarray, Curves, Curves, dict[str, dict[str, float]]]:
    keep = keep_per_image(matches, settings.max_dets)
    keep_fixed = keep_per_category(matches, settings.dets_per_class)
    plain, fixed = accumulate(matches, keep), accumulate(matches, keep_fixed)
    cap = settings.dets_per_class
    summaries = {
        f'{prefix}AP_{settings.plain_label}': _without_caps(summarise(plain, ground_truth, '')),
        f'{prefix}AP_{settings.fixed_label}': _without_caps(summarise(fixed, ground_truth, '')),
        f'{prefix}AP_pool@{cap}': accumulate_pools(matches, keep_fixed, ground_truth.frequency),
    }
    return keep, plain, fixed, summaries


def _without_caps(values: dict[str, float]) -> dict[str, float]:
    """The label of the protocol names the cap already; one column holds the recalls of all."""
    return {key.removesuffix('@'): value for key, value in values.items()}
