"""Calibrations as a JSON file: readable, and free of code."""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from plugins.atomic_file import atomic_file
from plugins.evaluation.calibration.methods import METHODS, restore_method
from plugins.evaluation.calibration.observations import MatchingOptions
from plugins.evaluation.calibration.per_class import FALLBACKS, ClassCalibration

FORMAT = 'mmtail-calibration'
VERSION = 1


@dataclass(frozen=True)
class CalibrationFile:
    """Content of a calibration file.

    Attributes:
        methods: Method name -> its calibration.
        training: How the observations were made.
        categories: Category id -> ``name``, training ``results`` and how many were ``matched``.
    """

    methods: dict[str, ClassCalibration]
    training: MatchingOptions = field(default_factory=MatchingOptions)
    categories: dict[int, dict] = field(default_factory=dict)


def write_calibration(path: str | os.PathLike, content: CalibrationFile) -> None:
    """Write a calibration file, all of it or nothing."""
    document = {
        'format': FORMAT,
        'version': VERSION,
        'training': asdict(content.training),
        'categories': {str(key): value for key, value in content.categories.items()},
        'methods': {name: _to_dict(part) for name, part in content.methods.items()},
    }
    # A NaN would be written as something that is not JSON.
    text = json.dumps(document, allow_nan=False)
    with atomic_file(path) as file:
        file.write(f'{text}\n'.encode())


def read_calibration(path: str | os.PathLike) -> CalibrationFile:
    """Read what `write_calibration` wrote.

    Raises:
        ValueError: The file is missing or not a calibration; the message names it and says what
            is wrong with it.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f'{path} cannot be read: {error.strerror}') from error
    except ValueError as error:
        raise ValueError(f'{path} is not JSON: write it again with the calibration tool') from error
    if not isinstance(document, dict) or document.get('format') != FORMAT:
        raise ValueError(f'{path} is not a calibration file: its format is not {FORMAT!r}')
    if document.get('version') != VERSION:
        raise ValueError(
            f'{path} has version {document.get("version")!r} of the format, '
            f'this program reads {VERSION}: fit it again'
        )
    try:
        return CalibrationFile(
            {name: _from_dict(name, part) for name, part in document['methods'].items()},
            MatchingOptions(**document['training']),
            {int(key): value for key, value in document['categories'].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {error}; fit it again') from error


def _to_dict(calibration: ClassCalibration) -> dict:
    return {
        'fallback': calibration.fallback,
        'models': {str(key): model.to_dict() for key, model in calibration.models.items()},
        'groups': {key: model.to_dict() for key, model in (calibration.groups or {}).items()},
        'group_of': {str(key): name for key, name in (calibration.group_of or {}).items()},
    }


def _from_dict(method: str, part: dict) -> ClassCalibration:
    if method not in METHODS:
        raise ValueError(f'method {method!r} is none of {", ".join(METHODS)}')
    if part['fallback'] not in FALLBACKS:
        raise ValueError(f'fallback {part["fallback"]!r} is none of {", ".join(FALLBACKS)}')
    models = {}
    for key, parameters in part['models'].items():
        _check_finite(parameters, f'{method} of category {key}')
        models[int(key)] = restore_method(method, parameters)
    groups = {}
    for key, parameters in part['groups'].items():
        _check_finite(parameters, f'{method} of group {key}')
        groups[key] = restore_method(method, parameters)
    group_of = {int(key): str(name) for key, name in part['group_of'].items()}
    return ClassCalibration(method, models, part['fallback'], groups, group_of)


def _check_finite(parameters: object, where: str) -> None:
    """Json reads NaN and Infinity, which no fit gives."""
    if isinstance(parameters, dict):
        parameters = list(parameters.values())
    if isinstance(parameters, list):
        for part in parameters:
            _check_finite(part, where)
    elif isinstance(parameters, float) and not math.isfinite(parameters):
        raise ValueError(f'a parameter of {where} is not a finite number')
