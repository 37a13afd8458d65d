"""One calibration per category, fitted on training results and applied to any others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from plugins.evaluation.calibration.methods import Calibrator, fit_method
from plugins.evaluation.calibration.observations import Observations
from plugins.evaluation.calibration.ties import break_ties

FALLBACKS = ('zero', 'keep', 'group')


@dataclass(frozen=True)
class ClassCalibration:
    """A fitted map per category (section 6.3 of "The Devil is in the Details", 2021).

    Attributes:
        method: One of `METHODS`.
        models: Category id -> fitted map. Categories without a matched training result have none.
        fallback: What becomes of the others' scores: ``'zero'``, ``'keep'`` (as they are) or
            ``'group'`` (the map of their frequency group, zero when there is none).
        groups: Frequency group (r, c, f) -> map fitted on all of its training results.
        group_of: Category id -> frequency group; used by ``'group'``.
    """

    method: str
    models: Mapping[int, Calibrator]
    fallback: str = 'zero'
    groups: Mapping[str, Calibrator] | None = None
    group_of: Mapping[int, str] | None = None

    def __post_init__(self):
        _check_fallback(self.fallback)

    def __call__(
        self, category: np.ndarray, scores: np.ndarray, *, keep_order: bool = True
    ) -> np.ndarray:
        """Calibrated scores.

        Args:
            category: int (N,), category id of each result.
            scores: float (N,).
            keep_order: Break ties by the original score, see `break_ties`; else results of a
                category may share one score.

        Returns:
            float64 (N,), in [0, 1] apart from what breaking ties adds, in the order of the input.
        """
        category, scores = np.asarray(category), np.asarray(scores, dtype=np.float64)
        calibrated = np.zeros(len(scores))
        order = np.argsort(category, kind='stable')
        names, first = np.unique(category[order], return_index=True)
        for name, part in zip(names, np.split(order, first[1:]), strict=False):
            model = self._model(int(name))
            if model is not None:
                calibrated[part] = model(scores[part])
            elif self.fallback == 'keep':
                calibrated[part] = np.clip(scores[part], 0.0, 1.0)
        return break_ties(calibrated, scores) if keep_order else calibrated

    def _model(self, category: int) -> Calibrator | None:
        model = self.models.get(category)
        if model is None and self.fallback == 'group':
            return (self.groups or {}).get((self.group_of or {}).get(category, ''))
        return model


def fit_per_class(
    method: str,
    observations: Observations,
    *,
    fallback: str = 'zero',
    group_of: Mapping[int, str] | None = None,
    progress: Callable[[int], object] | None = None,
) -> ClassCalibration:
    """Fit one map per category that has at least one matched result.

    Args:
        method: One of `METHODS`.
        observations: Training results with what became of them.
        fallback: One of `FALLBACKS`, for categories that get no map.
        group_of: Category id -> frequency group; required by the fallback ``'group'``.
        progress: Called with the number of results of each category that is done.
    """
    _check_fallback(fallback)
    if fallback == 'group' and not group_of:
        raise ValueError("fallback 'group' needs the categories' frequency groups")
    models = {}
    for category, scores, matched in observations.by_category():
        if matched.any():
            models[category] = fit_method(method, scores, matched)
        if progress is not None:
            progress(len(scores))
    groups = _fit_groups(method, observations, group_of) if fallback == 'group' else None
    return ClassCalibration(method, models, fallback, groups, group_of)


def _fit_groups(
    method: str, observations: Observations, group_of: Mapping[int, str]
) -> dict[str, Calibrator]:
    group = np.array([group_of.get(int(c), '') for c in observations.category], dtype='U1')
    groups = {}
    for name in 'rcf':
        inside = group == name
        if observations.matched[inside].any():
            scores, matched = observations.score[inside], observations.matched[inside]
            groups[name] = fit_method(method, scores, matched)
    return groups


def _check_fallback(fallback: str) -> None:
    if fallback not in FALLBACKS:
        raise ValueError(f'fallback {fallback!r} is unknown: choose one of {", ".join(FALLBACKS)}')
