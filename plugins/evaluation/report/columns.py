"""Numbers of every category: the columns of the table and the curves."""

import base64

import numpy as np

from plugins.evaluation.calibration import category_errors
from plugins.evaluation.engine import GroundTruth
from plugins.evaluation.report.data import Measure
from plugins.evaluation.report.scoring import PAIRS_AT, RunScores, Settings, observations

CURVE_STEPS = 250
_UNDEFINED = 255
_HALF, _THREE_QUARTERS = 0, 5  # indices of IoU 0.50 and 0.75
_AREAS = (('s', 'small'), ('m', 'medium'), ('l', 'large'))
_DIGITS = 6


def measures(settings: Settings) -> list[Measure]:
    """What every category is measured by, in the order of the table's columns."""
    plain, fixed = settings.plain_label, settings.fixed_label
    listed = [
        Measure('AP', f'AP_{plain}', f'AP with at most {settings.max_dets} detections per image'),
        Measure('AP50', f'AP50_{plain}', 'the same at IoU 0.50'),
        Measure('AP75', f'AP75_{plain}', 'the same at IoU 0.75', is_default=False),
    ]
    listed += [
        Measure(f'AP{key}', f'AP{key}_{plain}', f'the same, {words} objects', is_default=False)
        for key, words in _AREAS
    ]
    listed.append(Measure('AR', f'AR_{plain}', 'recall, mean over IoU 0.50 to 0.95'))
    listed.append(
        Measure(
            'fixed',
            f'AP_{fixed}',
            f'AP with at most {settings.dets_per_class} detections per category',
        )
    )
    if settings.with_boundary:
        words = f'boundary AP with at most {settings.max_dets} detections per image'
        listed.append(Measure('boundary', f'boundary AP_{plain}', words))
    listed.append(
        Measure('ECE', 'ECE at IoU 0.5', f'expected calibration error of the detections of {fixed}')
    )
    words = f'detections of {plain} in images where the category is annotated or known absent'
    listed.append(Measure('detections', 'detections', words, is_share=False))
    return listed


def category_columns(
    scores: RunScores, ground_truth: GroundTruth, settings: Settings
) -> dict[str, list[float | int | None]]:
    """Values of all `measures` for one run; None where a measure is not defined."""
    precision, recall = scores.plain.precision, scores.plain.recall
    columns = {
        'AP': defined_mean(precision[..., 0], (0, 1)),
        'AP50': defined_mean(precision[_HALF, ..., 0], 0),
        'AP75': defined_mean(precision[_THREE_QUARTERS, ..., 0], 0),
        'AR': defined_mean(recall[..., 0], 0),
        'fixed': defined_mean(scores.fixed.precision[..., 0], (0, 1)),
    }
    for area, (key, _) in enumerate(_AREAS, 1):
        columns[f'AP{key}'] = defined_mean(precision[..., area], (0, 1))
    if scores.boundary is not None:
        columns['boundary'] = defined_mean(scores.boundary.precision[..., 0], (0, 1))
    seen = observations(scores, ground_truth, settings, PAIRS_AT)
    errors = category_errors(seen.category, seen.score, seen.matched)
    columns['ECE'] = np.array(
        [errors.get(category, np.nan) for category in ground_truth.category_ids.tolist()]
    )
    listed = {key: as_list(values) for key, values in columns.items()}
    kept = scores.matches.category[scores.keep]
    listed['detections'] = np.bincount(kept, minlength=len(ground_truth.names)).tolist()
    return listed


def category_curves(precision: np.ndarray) -> str:
    """Curves for `RunData.curves`.

    Args:
        precision: float64 (T, R, K, A) with T = 10 thresholds and R = 101 recall points; -1 where
            not defined.
    """
    whole = precision[..., 0]
    kinds = np.stack([whole[_HALF], whole[_THREE_QUARTERS], whole.mean(axis=0)])  # 3, R, K
    steps = np.where(kinds < 0, _UNDEFINED, np.rint(kinds * CURVE_STEPS)).astype(np.uint8)
    return base64.b64encode(np.ascontiguousarray(steps.transpose(2, 0, 1)).tobytes()).decode()


def defined_mean(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Mean over axes, NaN where the values are -1, which stands for not defined."""
    means = values.mean(axis=axis)
    return np.where(means < 0, np.nan, means)


def as_list(values: np.ndarray) -> list[float | None]:
    """Values as JSON numbers, None for NaN."""
    return [None if np.isnan(value) else round(float(value), _DIGITS) for value in values]
