"""From which score on a detection of each category is shown."""

import difflib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.config import Config

from plugins.errors import UserError

DEFAULT = 'default'
DEFAULT_THRESHOLD = 0.3


def read_thresholds(settings: Sequence[str]) -> dict[str, float]:
    """Read thresholds as ``tools/predict.py --score-thr`` takes them.

    Args:
        settings: ``0.4`` for all categories, or ``NAME=0.4`` for one; ``default=0.4``, or the bare
            number, is for those that are not named, else 0.3.

    Returns:
        Name to threshold, ``default`` included.

    Raises:
        UserError: A setting has no number from 0 to 1, or repeats another.
    """
    given: dict[str, float] = {}
    for setting in settings:
        name, _, value = setting.rpartition('=')
        name = name or DEFAULT
        if name in given:
            raise UserError(f'--score-thr {setting}: {name} has two thresholds')
        given[name] = _number(setting, value)
    return {DEFAULT: DEFAULT_THRESHOLD, **given}


def thresholds_by_label(given: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """Say which threshold every category has.

    Args:
        given: As from `read_thresholds`.
        names: Of the categories, by label.

    Returns:
        float32 (K,).

    Raises:
        UserError: There is no category of a name.
    """
    labels = {name: label for label, name in enumerate(names)}
    thresholds = np.full(len(names), given[DEFAULT], np.float32)
    for name, value in given.items():
        if name in labels:
            thresholds[labels[name]] = value
        elif name != DEFAULT:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise UserError(f'--score-thr: there is no category {name!r}{hint}')
    return thresholds


def use_lowest_threshold(cfg: Config, lowest: float) -> None:
    """Make a model give what reaches a score and nothing else, whatever its config says.

    Suppression looks at better boxes only, so this leaves out detections but changes none, and
    spares their masks.

    Args:
        cfg: Changed in place: ``score_thr`` of the model and of its test-time augmentation, if
            that is switched on.
        lowest: Score from which on detections are wanted.
    """
    wrapper = cfg.model if 'module' in cfg.model else {}
    test_cfg = wrapper.get('module', cfg.model).get('test_cfg') or {}
    merging = wrapper.get('tta_cfg', {})
    for owner in (test_cfg.get('rcnn', test_cfg), merging):
        if 'score_thr' in owner:
            # Heads ask for more than their threshold.
            owner.score_thr = max(0.0, float(np.nextafter(np.float32(lowest), np.float32(-1))))


def _number(setting: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UserError(
            f'--score-thr {setting}: give a number from 0 to 1, or NAME=NUMBER for a category'
        )
    return value
