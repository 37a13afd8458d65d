"""Stand-in for ``mmcv._ext``, mmcv's compiled module, on torchvision and plain torch.

mmcv-lite is a pure Python wheel: it contains ``mmcv.ops`` but not the extension that every file in
it imports. :func:`install` makes Python serve the module ``extension.py`` under that name. Nothing
but the standard library is imported before somebody asks for it.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__all__ = ['install']

_EXTENSION = 'mmcv._ext'


class _ExtensionFinder(MetaPathFinder):
    """Finds ``mmcv._ext``, and nothing else, in this folder."""

    serves = _EXTENSION

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Spec of ``extension.py`` for the one name it stands in for, None for every other."""
        if fullname != _EXTENSION:
            return None
        return importlib.util.spec_from_file_location(
            fullname, Path(__file__).with_name('extension.py')
        )


def install() -> None:
    """Serve ``mmcv._ext`` from this package unless a compiled one exists.

    Idempotent, cheap, and independent of whether mmcv is imported already. The finder is appended
    *last*: the ordinary path finder is asked first, so a compiled ``mmcv/_ext*.so`` always wins.
    Processes forked later inherit it; a spawned one has it as soon as it imports ``plugins``.
    """
    # Compared by attribute, not by class, so that a reloaded copy of this module finds its elder.
    if not any(getattr(finder, 'serves', None) == _EXTENSION for finder in sys.meta_path):
        sys.meta_path.append(_ExtensionFinder())
