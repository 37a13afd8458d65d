"""Weights of Swin from a file: released classifiers, or backbones and detectors of mmdet."""

import re

import torch.nn.functional as F
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from mmdet.models.backbones.swin import swin_converter
from plugins.checkpoints.loading import unwrapped
from plugins.errors import UserError

_PREFIXES = ('module.', 'backbone.')
# It follows from the size of the window.
_COMPUTED = 'relative_position_index'
_BLOCK = re.compile(r'(stages\.\d+\.blocks\.)\d+\.')


def read_swin_weights(source: str, *, convert: bool) -> dict[str, Tensor]:
    """Read the weights in a file under the names of mmdet's ``SwinTransformer``.

    Args:
        source: Path or address of a checkpoint. Of a detector, its backbone is taken.
        convert: Whether the names are those of the released classifiers (``layers.0...``).

    Raises:
        UserError: The file cannot be read safely, or holds no weights.
    """
    content = unwrapped(CheckpointLoader.load_checkpoint(source, map_location='cpu'))
    if not isinstance(content, dict):
        raise UserError(
            f'backbone.init_cfg.checkpoint: {source} holds no weights by name; give a checkpoint'
        )
    weights = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    for prefix in _PREFIXES:
        inner = {key[len(prefix) :]: v for key, v in weights.items() if key.startswith(prefix)}
        weights = inner or weights
    if convert:
        weights = {
            key.removeprefix('backbone.'): value for key, value in swin_converter(weights).items()
        }
    return weights


def fit_swin_weights(
    weights: dict[str, Tensor], wanted: dict[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Choose the weights that a backbone has, with bias tables resized to its window.

    What the file has besides (classifier, masks) is left out, and so are whole stages that the
    backbone lacks. The norms of its outputs may be missing: no classifier has them.

    Args:
        weights: As :func:`read_swin_weights` gives them.
        wanted: State of the backbone.
        source: Where the weights are from, for errors.

    Returns:
        Some of the names of ``wanted``, all shapes as there.

    Raises:
        UserError: Nothing fits, or shapes or numbers of blocks differ.
    """
    chosen = {key: weights[key] for key in wanted if key in weights and _COMPUTED not in key}
    where = f'backbone.init_cfg.checkpoint: {source}'
    if not any(key.startswith('stages.') for key in chosen):
        raise UserError(f'{where} holds no weights of a Swin transformer; {_advice(weights)}')
    for key, value in chosen.items():
        if key.endswith('relative_position_bias_table'):
            chosen[key] = resize_bias_table(value, wanted[key])
        if chosen[key].shape != wanted[key].shape:
            raise UserError(
                f'{where} is of another Swin: {key} has the shape {tuple(value.shape)}, not '
                f'{tuple(wanted[key].shape)}; set embed_dims, num_heads and the like as in the file'
            )
    _check_complete(weights, wanted, where)
    return chosen


def resize_bias_table(table: Tensor, wanted: Tensor) -> Tensor:
    """Resize a learned position bias to another window, as Swin does between image sizes.

    Args:
        table: Float ((2 * window - 1) ** 2, heads).
        wanted: A table for the other window; its values do not matter.

    Returns:
        The table with as many rows as ``wanted``, bicubically interpolated.
    """
    if len(table) == len(wanted):
        return table
    old, new = (round(len(t) ** 0.5) for t in (table, wanted))
    grid = table.T.reshape(1, -1, old, old)
    return F.interpolate(grid, size=(new, new), mode='bicubic').flatten(2)[0].T.contiguous()


def _advice(weights: dict[str, Tensor]) -> str:
    """What to try when no name is known."""
    if any(key.startswith('layers.') for key in weights):
        return 'its names are those of the released classifiers: set backbone.convert_weights=True'
    names = ', '.join(list(weights)[:3]) or 'no tensors'
    return f'it begins with {names}'


def _check_complete(weights: dict[str, Tensor], wanted: dict[str, Tensor], where: str) -> None:
    """Raise if the backbone would be left with weights as drawn, or blocks would be lost."""
    missing = [
        key
        for key in wanted
        if key not in weights and not key.startswith('norm') and _COMPUTED not in key
    ]
    if missing:
        raise UserError(
            f'{where} has no weights for {missing[0]} ({len(missing)} missing in all); set '
            'backbone.depths and the like as in the file'
        )
    blocks = {found[0] for key in wanted if (found := _BLOCK.match(key))}
    stages = {_BLOCK.match(block)[1] for block in blocks}
    for key in weights:
        found = _BLOCK.match(key)
        if found and found[1] in stages and found[0] not in blocks:
            raise UserError(
                f'{where} has more blocks than the backbone ({found[0][:-1]}); set backbone.depths '
                'as in the file'
            )
