"""One matching pass whose decisions serve every protocol.

Matching visits results by falling score, so leaving out the last results of an image or category
changes nothing for those before. Caps and re-ranking only do that: each protocol keeps some of the
matched results and accumulates them anew.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from plugins.evaluation.engine.assignment import (
    Decisions,
    assign,
    ignored_annotations,
    outside_areas,
)
from plugins.evaluation.engine.boundary import boundary_radius
from plugins.evaluation.engine.boundary_pairs import lower_to_boundary_iou
from plugins.evaluation.engine.box_pairs import boxes_of_masks, find_box_pairs
from plugins.evaluation.engine.codes import codes_of, most_intervals, require_complete
from plugins.evaluation.engine.groups import Groups, make_groups
from plugins.evaluation.engine.mask_pairs import find_mask_pairs, masks_of
from plugins.evaluation.engine.matches import Matches, sort_results, sorted_matches
from plugins.evaluation.engine.pairs import Pairs
from plugins.evaluation.engine.ranking import Ranking, rank
from plugins.evaluation.engine.records import (
    AREA_LIMITS,
    IOU_THRESHOLDS,
    LVIS,
    GroundTruth,
    Results,
    ResultsError,
    Rules,
)

IOU_TYPES = ('segm', 'bbox', 'boundary')
_WORK_PER_CHUNK = 40_000

Progress = Callable[[int, int], None]
"""Called with the groups that are done and their number."""


@dataclass(frozen=True, slots=True)
class _Task:
    """What all chunks of one pass need."""

    ground_truth: GroundTruth
    results: Results
    rules: Rules
    groups: Groups
    ranking: Ranking
    crowd: np.ndarray
    threads: int
    pair_level: int
    progress: Progress | None


def match(
    ground_truth: GroundTruth,
    results: Results,
    *,
    iou_type: str | Sequence[str] = 'segm',
    rules: Rules = LVIS,
    dilation_ratio: float = 0.02,
    threads: int | None = None,
    keep_pairs_at: float | None = None,
    progress: Progress | None = None,
) -> Matches | dict[str, Matches]:
    """Match results with annotations at all IoU thresholds and in all area ranges.

    Args:
        ground_truth: Annotations; with masks unless only boxes are compared.
        results: Detections, any number per image and category.
        iou_type: ``'segm'``, ``'bbox'`` or ``'boundary'``, or several of them, which share work.
        rules: `LVIS` or `COCO`.
        dilation_ratio: Width of the boundary as a share of the image's diagonal.
        threads: How many to use; by default all processors this process may use.
        keep_pairs_at: One of the IoU thresholds, at which to keep the matched annotations.
        progress: Called now and then, with the groups that are done and their number.

    Returns:
        The decisions; a dict by type if several types were asked for.

    Raises:
        ResultsError: Results without masks or with broken ones.
        ValueError: An unknown type or threshold.
    """
    names = (iou_type,) if isinstance(iou_type, str) else tuple(iou_type)
    unknown = set(names) - set(IOU_TYPES)
    if unknown:
        raise ValueError(f'iou_type must be one of {IOU_TYPES}, not {sorted(unknown)[0]!r}')
    ranking = rank(ground_truth, results)
    task = _Task(
        ground_truth=ground_truth,
        results=results,
        rules=rules,
        groups=make_groups(ground_truth, ranking, rules),
        ranking=ranking,
        crowd=np.asarray(ground_truth.ann_crowd, bool) & rules.crowd,
        threads=threads or len(os.sched_getaffinity(0)),
        pair_level=_pair_level(keep_pairs_at),
        progress=progress,
    )
    matches = {}
    if 'segm' in names or 'boundary' in names:
        matches |= _match_masks(task, names, dilation_ratio)
    if 'bbox' in names:
        matches |= _match_boxes(task)
    return matches[iou_type] if isinstance(iou_type, str) else {k: matches[k] for k in names}


def _pair_level(threshold: float | None) -> int:
    if threshold is None:
        return -1
    level = np.flatnonzero(np.isclose(IOU_THRESHOLDS, threshold))
    if not len(level):
        raise ValueError(f'keep_pairs_at must be one of 0.5, 0.55, ... 0.95, not {threshold}')
    return int(level[0])


def _match_masks(task: _Task, names: Sequence[str], dilation_ratio: float) -> dict[str, Matches]:
    groups, results = task.groups, task.results
    codes = codes_of(results)
    masks = masks_of(task.ground_truth, task.crowd)
    radius = boundary_radius(masks.height, masks.width, dilation_ratio)
    known_area = _box_areas(_boxes_of(results)) if results.area_from_box else None
    area = np.empty(len(groups.detection)) if known_area is None else known_area[groups.detection]
    deciders = {name: _Decider(task, area, name) for name in names if name != 'bbox'}

    def match_chunk(low: int, high: int) -> None:
        pairs, shapes, status = find_mask_pairs(
            low, high, groups, codes, masks,
            area if known_area is None else None, IOU_THRESHOLDS[0],
        )  # fmt: skip
        require_complete(status, results)
        if 'segm' in deciders:
            deciders['segm'].decide(low, high, pairs)
        if 'boundary' in deciders:
            pairs = lower_to_boundary_iou(low, high, groups, masks, radius, pairs, shapes)
            deciders['boundary'].decide(low, high, pairs)

    _for_chunks(task, match_chunk)
    return _sorted(task, area, deciders)


def _match_boxes(task: _Task) -> dict[str, Matches]:
    groups = task.groups
    boxes, area = _boxes_and_areas(task.results)
    ann_boxes = np.ascontiguousarray(task.ground_truth.ann_box, np.float64).reshape(-1, 4)
    area = area[groups.detection]
    decider = _Decider(task, area, 'bbox')

    def match_chunk(low: int, high: int) -> None:
        pairs = find_box_pairs(low, high, groups, boxes, ann_boxes, task.crowd, IOU_THRESHOLDS[0])
        decider.decide(low, high, pairs)

    _for_chunks(task, match_chunk)
    return _sorted(task, area, {'bbox': decider})


class _Decider:
    """Decisions for one way of comparing, made chunk by chunk."""

    def __init__(self, task: _Task, area: np.ndarray, iou_type: str) -> None:
        rules, annotations = task.rules, task.ground_truth
        self.task = task
        self.area = area
        self.upper_inclusive = iou_type != 'boundary' or rules.boundary_area_upper_inclusive
        ignored = annotations.ann_crowd if rules.crowd else annotations.ann_ignore
        self.ann_ignored = ignored_annotations(
            outside_areas(annotations.ann_area, self.upper_inclusive), ignored
        )
        self.decisions = Decisions.room_for(len(area), task.pair_level >= 0)

    def decide(self, low: int, high: int, pairs: Pairs) -> None:
        """Match the groups from ``low`` to ``high``; the areas of their results are known."""
        groups = self.task.groups
        area = self.area[groups.offset[low] : groups.offset[high]]
        assign(
            low, high, groups, pairs, outside_areas(area, self.upper_inclusive),
            _takes_part(area, self.task.rules), self.ann_ignored, self.task.crowd,
            self.decisions, self.task.pair_level,
        )  # fmt: skip

    def annotations_that_count(self) -> np.ndarray:
        """int64 (A, K), annotations that are not ignored, per area range."""
        annotation = self.task.groups.annotation
        category = self.task.ground_truth.ann_category[annotation]
        ignored = self.ann_ignored[annotation]
        size = len(self.task.ground_truth.category_ids)
        return np.stack(
            [
                np.bincount(category[(ignored >> bit) & 1 == 0], minlength=size)
                for bit in range(len(AREA_LIMITS))
            ]
        )


def _takes_part(area: np.ndarray, rules: Rules) -> np.ndarray:
    """Results that count at all, bool."""
    return (area > 0) & (area < np.inf) if rules.drop_zero_area else np.ones(len(area), bool)


def _sorted(task: _Task, area: np.ndarray, deciders: dict[str, _Decider]) -> dict[str, Matches]:
    takes_part = _takes_part(area, task.rules)
    order = sort_results(task.results, task.groups, task.ranking, task.rules, takes_part)
    with_pair = task.pair_level >= 0
    return {
        name: sorted_matches(
            order,
            decider.decisions,
            decider.annotations_that_count(),
            task.ranking,
            task.rules,
            with_pair=with_pair,
        )
        for name, decider in deciders.items()
    }


def _boxes_of(results: Results) -> np.ndarray:
    if results.box is None:
        raise ResultsError(f'{results.source}: areas shall come from boxes, but there are none')
    return np.ascontiguousarray(results.box, np.float64).reshape(-1, 4)


def _box_areas(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2] * boxes[:, 3]


def _boxes_and_areas(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and areas of all results; without boxes those of the masks, as in lvis-api."""
    if results.box is not None:
        boxes = _boxes_of(results)
        return boxes, _box_areas(boxes)
    codes = codes_of(results)
    room = most_intervals(codes)
    boxes, area = np.empty((len(results), 4)), np.empty(len(results))
    start, end = np.empty(room, np.int32), np.empty(room, np.int32)
    require_complete(boxes_of_masks(codes, start, end, boxes, area), results)
    return boxes, area


def _for_chunks(task: _Task, run: Callable[[int, int], None]) -> None:
    """Call a function for ranges of groups, in threads if there is enough work."""
    bounds = _chunk_bounds(task.groups, task.threads)
    done = 0

    def run_chunk(index: int) -> int:
        run(bounds[index], bounds[index + 1])
        return bounds[index + 1] - bounds[index]

    chunks = range(len(bounds) - 1)
    with ThreadPoolExecutor(task.threads) as pool:
        # One chunk needs no thread, whose start costs more than a small set.
        counts = map(run_chunk, chunks) if len(chunks) == 1 else pool.map(run_chunk, chunks)
        for count in counts:
            done += count
            if task.progress is not None:
                task.progress(done, len(task.groups))


def _chunk_bounds(groups: Groups, threads: int) -> list[int]:
    """Split the groups into ranges of about equal work."""
    results = np.diff(groups.offset)
    work = np.cumsum(results * (1 + np.diff(groups.ann_offset)))
    total = int(work[-1]) if len(work) else 0
    chunks = int(np.clip(total // _WORK_PER_CHUNK, 1, 16 * threads))
    inner = np.searchsorted(work, np.arange(1, chunks) * total // chunks)
    return np.unique([0, *inner.tolist(), len(groups)]).tolist()
