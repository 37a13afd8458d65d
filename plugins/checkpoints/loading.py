"""Reading local checkpoints: data only, and one clear sentence when that fails."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader

from plugins.errors import UserError

UNSAFE_SWITCH = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, unsafe or made for another model."""


def load_from_local(filename: str, map_location: str | Callable | None = None) -> dict:
    """Read a checkpoint file without ever executing code that it carries.

    It replaces mmengine's function of the same name: ``Runner``, ``init_detector``,
    ``DetInferencer`` and ``init_cfg=dict(type='Pretrained')`` all come through here.

    Args:
        filename: Path of the file; ``~`` is expanded.
        map_location: As in ``torch.load``.

    Returns:
        What was saved: tensors, numbers, strings, arrays and containers of them.

    Raises:
        CheckpointError: The file is missing, truncated, not a checkpoint, or refers to code.
    """
    path = Path(filename).expanduser()
    if not path.is_file():
        raise CheckpointError(f'checkpoint {path} does not exist; check the path and --work-dir')
    try:
        # weights_only stays unset: torch's default is True, and the user's own switch can lift it.
        return torch.load(path, map_location=map_location)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_explain_refusal(path, error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f'checkpoint {path} cannot be read: it is truncated, damaged or not a checkpoint '
            f'({_first_sentence(error)}); take an earlier one or download it again'
        ) from error


def unwrapped(content: object) -> object:
    """Return what a checkpoint keeps under ``state_dict`` or ``model``; all of it without these."""
    for key in ('state_dict', 'model'):
        if isinstance(content, Mapping) and key in content:
            content = content[key]
    return content


def _explain_refusal(path: Path, error: pickle.UnpicklingError) -> str:
    reason = str(error)
    marker = 'GLOBAL '
    if marker in reason:
        name = reason.split(marker, 1)[1].split()[0].rstrip(',.')
        return (
            f'checkpoint {path} refers to code ({name}) and was not loaded: a checkpoint may carry '
            f'data only. If you made this file yourself, set {UNSAFE_SWITCH}=1 to allow it'
        )
    return (
        f'checkpoint {path} was not loaded: it is damaged or carries more than data '
        f'({_first_sentence(error)})'
    )


def _first_sentence(error: Exception) -> str:
    text = ' '.join(str(error).split()) or type(error).__name__
    return text.split('. ')[0][:200]


# The local loader is registered under the empty prefix; replacing it there is mmengine's own way
# to say how files are read, and reaches every caller.
CheckpointLoader.register_scheme('', load_from_local, force=True)
