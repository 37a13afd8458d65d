"""Top-level keys of a config: a misspelt one would be ignored in silence."""

import difflib
import inspect
from collections.abc import Iterable

from mmengine.runner import Runner

from plugins.errors import UserError

# Read by mmengine, mmdet or the scripts in tools/, but not arguments of the runner.
_READ_ELSEWHERE = {
    'auto_scale_lr',
    'custom_imports',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
}

# Names that base configs define for other values to read, see configs/_base_.
SHARED_NAMES = {
    'backend_args',
    'data_root',
    'dataset_type',
    'image_scale',
    'max_epochs',
    'num_classes',
    'test_pipeline',
    'tolerated_problems',
    'train_pipeline',
    'vis_backends',
}


def read_keys() -> set[str]:
    """Return every top-level key that has a reader outside the configs."""
    arguments = set(inspect.signature(Runner.__init__).parameters) - {'self'}
    return arguments | _READ_ELSEWHERE


def check_top_level_keys(keys: Iterable[str], source: str, *, strict: bool = False) -> None:
    """Raise if a top-level key of a config looks misspelt.

    A config may define names of its own for other values to read (``img_scale``), so an unknown key
    is an error only if it resembles one that the program reads; with ``strict`` every unknown key
    is (that is how the configs of this repository are tested).

    Args:
        keys: The top-level keys of the resolved config.
        source: The config file, for the message.
        strict: Refuse every unknown key.

    Raises:
        UserError: Names the key, the file and the nearest known key.
    """
    read = read_keys()
    for key in sorted(set(keys) - read - SHARED_NAMES):
        # No name in a config that mmdet ships is that close to a key; most slips are.
        nearest = difflib.get_close_matches(key, read, n=1, cutoff=0.87)
        if nearest:
            raise UserError(
                f'{source}: unknown top-level key {key!r}, did you mean {nearest[0]!r}?'
            )
        if strict:
            raise UserError(
                f'{source}: unknown top-level key {key!r}; nothing reads it (shared names are '
                'listed in plugins/runtime/config_keys.py)'
            )
