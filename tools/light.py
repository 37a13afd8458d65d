"""Reach the torch-free parts of ``plugins`` without loading torch and mmdet."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def import_light(name: str) -> ModuleType:
    """Import ``plugins.<name>`` without running ``plugins/__init__.py``.

    That file registers every plugin and needs seconds for torch and mmdet, which a tool that only
    reads annotation files does not. If ``plugins`` is already there, it is used as it is.

    Args:
        name: A sub-package that imports neither torch nor mmdet, such as ``'annotations'``.
    """
    if 'plugins' not in sys.modules:
        package = ModuleType('plugins')
        package.__path__ = [str(ROOT / 'plugins')]
        sys.modules['plugins'] = package
    return importlib.import_module(f'plugins.{name}')
