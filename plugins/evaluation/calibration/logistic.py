"""Platt scaling, beta calibration and temperature: a sigmoid of a few features of the score."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from plugins.evaluation.calibration.score_range import check_observations, clip_scores, logit

FORMS = ('platt', 'beta', 'temperature')
_SLOPES = {'platt': 1, 'beta': 2, 'temperature': 1}


@dataclass(frozen=True)
class LogisticCalibration:
    """A logistic map of one of three forms.

    - ``platt`` (Platt, 1999): sigmoid(a logit(s) + c)
    - ``beta`` (Kull et al., 2017): sigmoid(a ln s - b ln(1 - s) + c)
    - ``temperature`` (Guo et al., 2017): sigmoid(a logit(s))

    Slopes a and b that are not negative keep the order of scores.

    Attributes:
        form: One of the names above.
        slopes: a, and b for ``beta``.
        bias: c; 0 for ``temperature``.
    """

    form: str
    slopes: tuple[float, ...]
    bias: float

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float64 (N,) in [0, 1], of float (N,) scores."""
        return expit(_features(self.form, scores) @ np.asarray(self.slopes) + self.bias)

    def to_dict(self) -> dict:
        """Parameters as JSON values."""
        return {'form': self.form, 'slopes': list(self.slopes), 'bias': self.bias}

    @classmethod
    def from_dict(cls, parameters: dict) -> 'LogisticCalibration':
        """Inverse of `to_dict`."""
        form, slopes = parameters['form'], tuple(float(a) for a in parameters['slopes'])
        if form not in FORMS or len(slopes) != _SLOPES[form]:
            raise ValueError(f'form {form!r} with {len(slopes)} slopes is none of {FORMS}')
        return cls(form, slopes, float(parameters['bias']))


def fit_logistic(
    scores: np.ndarray, matched: np.ndarray, form: str, *, rising: bool = True
) -> LogisticCalibration:
    """Fit `LogisticCalibration` by maximum likelihood.

    The problem is convex; it starts at the identity (slopes 1, bias 0). When the labels can be
    separated the optimum lies at infinity: the fit then stops where the likelihood is flat.

    Args:
        scores: float (N,), N >= 1.
        matched: bool (N,).
        form: ``'platt'``, ``'beta'`` or ``'temperature'``.
        rising: Slopes are not negative. Without it a few unlucky results turn the order of a
            category round, as happens in netcal 1.4.0 with Platt scaling.
    """
    if form not in FORMS:
        raise ValueError(f'form {form!r} is unknown: choose one of {", ".join(FORMS)}')
    scores, labels = check_observations(scores, matched)
    features = _features(form, scores)
    slopes = features.shape[1]
    bounds = [(0.0 if rising else None, None)] * slopes
    if form != 'temperature':
        features = np.column_stack([features, np.ones(len(scores))])
        bounds.append((None, None))
    start = np.ones(features.shape[1])
    start[slopes:] = 0.0
    fit = minimize(
        _negative_log_likelihood,
        start,
        args=(features, labels),
        jac=True,
        method='L-BFGS-B',
        bounds=bounds,
        options={'ftol': 1e-13, 'gtol': 1e-8, 'maxiter': 1000},
    )
    bias = 0.0 if form == 'temperature' else float(fit.x[-1])
    return LogisticCalibration(form, tuple(float(a) for a in fit.x[:slopes]), bias)


def _features(form: str, scores: np.ndarray) -> np.ndarray:
    """Columns that the slopes multiply: float64 (N, 1), for ``beta`` (N, 2)."""
    if form == 'beta':
        scores = clip_scores(scores)
        return np.column_stack([np.log(scores), -np.log1p(-scores)])
    return logit(scores)[:, None]


def _negative_log_likelihood(
    parameters: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean negative log-likelihood and its gradient."""
    logits = features @ parameters
    value = (np.logaddexp(0.0, logits) - labels * logits).mean()
    return float(value), features.T @ (expit(logits) - labels) / len(labels)
