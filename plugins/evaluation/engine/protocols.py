"""Which results each protocol admits, and all protocols of a request from one matching pass."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from plugins.annotations import COCO_LT_BIN_LIMITS, LVIS_BIN_LIMITS
from plugins.evaluation.engine.accumulation import Curves, accumulate, accumulate_pools
from plugins.evaluation.engine.matches import Matches
from plugins.evaluation.engine.matching import Progress, match
from plugins.evaluation.engine.records import LVIS, GroundTruth, Results, ResultsError, Rules
from plugins.evaluation.engine.summary import (
    UNDEFINED,
    bin_precision,
    category_precision,
    mean_recall,
    summarise,
)

BIN_LIMITS = {'lvis': LVIS_BIN_LIMITS, 'coco-lt': COCO_LT_BIN_LIMITS}
SUBSETS = ('r', 'c', 'f', 'rc', 'cf', 'rf')


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to compute.

    Attributes:
        iou_types: Of ``'segm'``, ``'bbox'`` and ``'boundary'``.
        max_dets: Caps on results per image (COCO: per image and category); negative is no cap.
        dets_per_class: Caps on results per category, without a cap per image.
        pool: AP_pool of the same results as AP_fixed.
        bins: AP by training instances: ``'lvis'`` or ``'coco-lt'``; needs their counts.
        rerank: Results per category that are kept before the cap per image, to see how far
            re-ranking alone moves AP_old.
        subsets: Frequency groups, such as ``'rc'``, evaluated as if there were no others.
        per_category: A table of all categories.
        rules: Those of LVIS or COCO.
        dilation_ratio: Width of the boundary as a share of the image's diagonal.
    """

    iou_types: tuple[str, ...] = ('segm',)
    max_dets: tuple[int, ...] = (300,)
    dets_per_class: tuple[int, ...] = (10_000,)
    pool: bool = True
    bins: str | None = None
    rerank: tuple[int, ...] = ()
    subsets: tuple[str, ...] = ()
    per_category: bool = False
    rules: Rules = LVIS
    dilation_ratio: float = 0.02


def evaluate(
    ground_truth: GroundTruth,
    results: Results,
    request: Request,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, dict]]:
    """Evaluate results by every protocol of a request, from one matching pass.

    Args:
        ground_truth: Annotations.
        results: Detections; all of them, the caps are applied here.
        request: What to compute.
        threads: How many to use; by default all processors this process may use.
        progress: Called now and then, with what is done and how much there is.

    Returns:
        Per IoU type and protocol the numbers of `summarise`, in [0, 1] or -1 where undefined:
        ``old@300`` (rules of COCO: ``coco@100``), ``fixed@10000``, ``pool@10000``, ``bins@300``,
        ``rerank10000@300``, ``subset-rc@300``, and ``per_category`` by id.

    Raises:
        ResultsError: Bins without training counts, or results that lack what is compared.
    """
    if request.bins is not None and ground_truth.train_instances is None:
        raise ResultsError(
            f'{ground_truth.source}: bins need the training instances of every category; '
            'name a file that counts them'
        )
    matches = match(
        ground_truth,
        results,
        iou_type=request.iou_types,
        rules=request.rules,
        dilation_ratio=request.dilation_ratio,
        threads=threads,
        progress=progress,
    )
    return {name: _report(found, ground_truth, request) for name, found in matches.items()}


def keep_per_image(matches: Matches, cap: int) -> np.ndarray:
    """The best of every image (COCO: of every image and category), bool (M,)."""
    return matches.image_rank < _limit(cap)


def keep_per_category(matches: Matches, cap: int) -> np.ndarray:
    """The best of every category over all images, bool (M,)."""
    return matches.category_rank < _limit(cap)


def keep_reranked(matches: Matches, per_category: int, per_image: int) -> np.ndarray:
    """The best of every category first, of what is left the best of every image, bool (M,)."""
    ranking = matches.ranking
    # Unknown categories have no place of their own but do take places of the image.
    chosen = (ranking.category_rank < _limit(per_category)) | (ranking.category < 0)
    return ranking.image_ranks_among(chosen)[matches.detection] < _limit(per_image)


def keep_subset(matches: Matches, categories: np.ndarray, per_image: int) -> np.ndarray:
    """The best of every image when only some categories (bool (K,)) are predicted, bool (M,)."""
    chosen = np.append(categories, False)[matches.ranking.category]
    return matches.ranking.image_ranks_among(chosen)[matches.detection] < _limit(per_image)


def in_groups(frequency: np.ndarray, letters: str) -> np.ndarray:
    """Categories of the named frequency groups, bool (K,)."""
    return np.isin(frequency, [ord(letter) for letter in letters])


def _limit(cap: int) -> int:
    return cap if cap >= 0 else np.iinfo(np.int32).max


def _report(matches: Matches, ground_truth: GroundTruth, request: Request) -> dict[str, dict]:
    report: dict[str, dict] = {}
    tables: dict[str, tuple[Curves, np.ndarray]] = {}
    for name, cap, keep, categories in _admitted(matches, ground_truth, request):
        curves = accumulate(matches, keep)
        if categories is not None:
            curves = _of_categories(curves, categories)
        report[name] = summarise(curves, ground_truth, str(cap))
        kind = name.partition('@')[0]
        if kind == 'coco':
            report[name] |= _recalls_of_few(matches, cap)
        if kind == 'fixed' and request.pool:
            report[f'pool@{cap}'] = accumulate_pools(matches, keep, ground_truth.frequency)
        if kind in ('old', 'coco', 'fixed') and (request.bins or request.per_category):
            tables[name] = curves, category_precision(curves)
        if kind in ('old', 'coco') and request.bins:
            report[f'bins@{cap}'] = bin_precision(
                tables[name][1][:, 0], ground_truth.train_instances, BIN_LIMITS[request.bins]
            )
    if request.per_category:
        report['per_category'] = _category_table(matches, ground_truth, tables)
    return report


def _admitted(
    matches: Matches, ground_truth: GroundTruth, request: Request
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray | None]]:
    """Name, cap, admitted results and, unless it is all, categories of every protocol."""
    plain = 'coco' if matches.rules.cap_per_category else 'old'
    for cap in request.max_dets:
        yield f'{plain}@{cap}', cap, keep_per_image(matches, cap), None
    for cap in request.dets_per_class:
        yield f'fixed@{cap}', cap, keep_per_category(matches, cap), None
    for cap in request.max_dets:
        for per_category in request.rerank:
            keep = keep_reranked(matches, per_category, cap)
            yield f'rerank{per_category}@{cap}', cap, keep, None
        for letters in request.subsets:
            chosen = in_groups(ground_truth.frequency, letters)
            yield f'subset-{letters}@{cap}', cap, keep_subset(matches, chosen, cap), chosen


def _of_categories(curves: Curves, chosen: np.ndarray) -> Curves:
    """Curves in which only the chosen categories, bool (K,), are defined."""
    precision, recall = curves.precision.copy(), curves.recall.copy()
    precision[:, :, ~chosen] = UNDEFINED
    recall[:, ~chosen] = UNDEFINED
    return Curves(precision, recall)


def _recalls_of_few(matches: Matches, cap: int) -> dict[str, float]:
    """COCO also reports the recall of the best one and the best ten."""
    return {
        f'AR@{few}': mean_recall(accumulate(matches, keep_per_image(matches, few)))
        for few in (1, 10)
        if few < cap
    }


def _category_table(
    matches: Matches, ground_truth: GroundTruth, tables: dict[str, tuple[Curves, np.ndarray]]
) -> dict[str, dict]:
    """By category id, all values of lists over categories; -1 where undefined."""
    columns = {}
    for name, (curves, precision) in tables.items():
        values = dict(zip(('AP', 'APs', 'APm', 'APl'), precision.T, strict=True))
        values['AP50'] = curves.precision[0, :, :, 0].mean(axis=0)
        values['AP75'] = curves.precision[5, :, :, 0].mean(axis=0)
        values['AR'] = curves.recall[:, :, 0].mean(axis=0)
        columns[name] = {key: column.tolist() for key, column in values.items()}
    trained = ground_truth.train_instances
    return {
        str(category_id): {
            'name': ground_truth.names[index],
            'frequency': chr(ground_truth.frequency[index])
            if ground_truth.frequency[index]
            else '',
            'instances': int(matches.n_gt[0, index]),
            'train_instances': None if trained is None else int(trained[index]),
            **{
                name: {key: column[index] for key, column in values.items()}
                for name, values in columns.items()
            },
        }
        for index, category_id in enumerate(ground_truth.category_ids.tolist())
    }
