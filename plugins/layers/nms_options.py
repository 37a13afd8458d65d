"""What configs say about suppression, checked and put into the words of our functions."""

import math
from collections.abc import Sequence
from numbers import Real

from plugins.errors import UserError
from plugins.layers.classwise_nms import SOFT_METHODS

# split_thr tells mmcv from how many boxes on to go through the classes one by one, which is slower
# and exact; here every number is exact.
_KEYS = dict(
    nms=('type', 'iou_threshold', 'class_agnostic', 'split_thr'),
    soft_nms=(
        'type',
        'iou_threshold',
        'class_agnostic',
        'split_thr',
        'method',
        'sigma',
        'min_score',
    ),
)
_SOFT_IOU_THRESHOLD = 0.3
"""What mmcv takes where the config of Soft-NMS gives none."""


def read_nms(config: dict | None, address: str) -> dict:
    """Turn ``dict(type='nms', iou_threshold=0.5)`` into arguments of ``classwise_nms``.

    Args:
        config: In the words of ``mmcv.ops.batched_nms``: ``type`` is ``nms`` (default) or
            ``soft_nms``; ``iou_threshold`` in [0, 1]; ``class_agnostic``; for Soft-NMS ``method``,
            ``sigma`` and ``min_score``. ``split_thr`` has no effect. None suppresses nothing.
        address: Where the config stands (``test_cfg.rcnn.nms``), for error messages.

    Returns:
        ``iou_threshold``, ``soft`` and ``class_agnostic``.

    Raises:
        UserError: Another type or key, or a value out of range.
    """
    if config is None:
        return dict(iou_threshold=math.inf, soft=None, class_agnostic=False)
    if not isinstance(config, dict):
        raise UserError(f"{address} is {config!r}; write dict(type='nms', iou_threshold=0.5)")
    kind = config.get('type', 'nms')
    if not isinstance(kind, str) or kind not in _KEYS:
        raise UserError(f'{address}.type is {kind!r}; it can be {" or ".join(_KEYS)}')
    for key in config:
        if key not in _KEYS[kind]:
            raise UserError(f'{address}.{key} means nothing to {kind}, which knows {_KEYS[kind]}')
    if kind == 'nms' and 'iou_threshold' not in config:
        raise UserError(f'{address} needs iou_threshold, such as 0.5')
    iou_threshold = config.get('iou_threshold', _SOFT_IOU_THRESHOLD)
    if not (_is_number(iou_threshold) and 0 <= iou_threshold <= 1):
        raise UserError(f'{address}.iou_threshold is {iou_threshold!r}; it lies between 0 and 1')
    soft = None if kind == 'nms' else _read_soft(config, address)
    class_agnostic = bool(config.get('class_agnostic', False))
    return dict(iou_threshold=float(iou_threshold), soft=soft, class_agnostic=class_agnostic)


def read_max_per_img(config: dict, address: str) -> int:
    """Return ``max_per_img`` of a config; 0 or less stands for all detections.

    Raises:
        UserError: It is missing or no whole number.
    """
    value = config.get('max_per_img')
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(
            f'{address}.max_per_img is {value!r}; it is the number of detections to keep of an '
            'image, such as 300, or -1 for all'
        )
    return value


def read_score_thr(
    value: float | Sequence[float], num_classes: int, address: str
) -> float | list[float]:
    """Return the threshold of all classes, or those of the classes.

    Args:
        value: One number for all classes, or one for each.
        num_classes: Classes of the model.
        address: The config key it came from.

    Raises:
        UserError: It is neither, or the list has another length.
    """
    if _is_number(value):
        return float(value)
    if not isinstance(value, list | tuple) or not all(map(_is_number, value)):
        raise UserError(f'{address} is {value!r}; it is a number, or a list with one per class')
    if len(value) != num_classes:
        raise UserError(
            f'{address} has {len(value)} entries, but the model has {num_classes} classes; give '
            'one number for all of them, or one for each'
        )
    return [float(number) for number in value]


def _read_soft(config: dict, address: str) -> dict:
    soft = {key: config[key] for key in ('method', 'sigma', 'min_score') if key in config}
    if soft.get('method', 'linear') not in SOFT_METHODS:
        known = ', '.join(SOFT_METHODS)
        raise UserError(f'{address}.method is {soft["method"]!r}; it can be {known}')
    sigma, min_score = soft.get('sigma', 0.5), soft.get('min_score', 0.0)
    if not (_is_number(sigma) and sigma > 0):
        raise UserError(f'{address}.sigma is {sigma!r}; it is the width of a Gaussian, above 0')
    if not _is_number(min_score):
        raise UserError(f'{address}.min_score is {min_score!r}; it is a number, such as 1e-3')
    return soft


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)
