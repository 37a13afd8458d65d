"""Everything this repository adds to MMDetection; importing it registers all of it.

A config reaches every plugin through one line, ``custom_imports = dict(imports=['plugins'])``; a
script imports this package before mmdet.
"""

from plugins.ops import install

# mmdet imports mmcv.ops, and mmcv-lite has no compiled module: ours must be in place before.
install()

from plugins import (
    backbones,
    datasets,
    detectors,
    evaluation,
    hooks,
    layers,
    losses,
    necks,
    roi_heads,
    task_modules,
    test_time,
    transforms,
    visualization,
)
from plugins.checkpoints import allow_runner_globals

allow_runner_globals()

__all__ = [
    'backbones',
    'datasets',
    'detectors',
    'evaluation',
    'hooks',
    'layers',
    'losses',
    'necks',
    'roi_heads',
    'task_modules',
    'test_time',
    'transforms',
    'visualization',
]
