"""Reach the torch-free parts of ``plugins`` without loading torch and mmdet."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def import_light(name: str) -> ModuleType:
    """Import ``plugins.<name>`` without running the ``__init__.py`` of the packages above it.

    Those register plugins and need seconds for torch and mmdet, which a tool that only reads
    annotation and result files does not. Packages that are already there are used as they are.

    Args:
        name: A sub-package that imports neither torch nor mmdet, such as ``'annotations'`` or
            ``'evaluation.engine'``.
    """
    *parents, _ = ['plugins', *name.split('.')]
    for depth in range(1, len(parents) + 1):
        parent = '.'.join(parents[:depth])
        if parent not in sys.modules:
            package = ModuleType(parent)
            package.__path__ = [str(ROOT.joinpath(*parents[:depth]))]
            sys.modules[parent] = package
    return importlib.import_module(f'plugins.{name}')
