"""Reach the torch-free parts of ``plugins`` without loading torch and mmdet."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]

# Their __init__ imports torch and mmdet, to register plugins.
_HEAVY = ('plugins', 'plugins.evaluation')


def import_light(name: str) -> ModuleType:
    """Import ``plugins.<name>`` without running the ``__init__.py`` of the heavy packages above it.

    Those register plugins and need seconds for torch and mmdet, which a tool that only reads
    annotation and result files does not. Packages that are already there are used as they are.

    Args:
        name: A package or module that imports neither torch nor mmdet, such as ``'annotations'``
            or ``'evaluation.engine'``.
    """
    for parent in _HEAVY:
        if parent not in sys.modules and f'plugins.{name}'.startswith(f'{parent}.'):
            package = ModuleType(parent)
            package.__path__ = [str(ROOT.joinpath(*parent.split('.')))]
            sys.modules[parent] = package
    return importlib.import_module(f'plugins.{name}')
