"""Checkpoints of other versions of a detector under the names of this repository."""

import dataclasses
import re
from collections.abc import Mapping

from torch import Tensor

from plugins.backbones import CBResNet, CBSwinTransformer
from plugins.backbones.composite import check_del_stages, is_within
from plugins.checkpoints.key_rules import RULES, is_composite, is_known, is_swin
from plugins.checkpoints.loading import CheckpointError, unwrapped
from plugins.errors import UserError


@dataclasses.dataclass
class Conversion:
    """Tensors under their names here, and what was done to them.

    Attributes:
        tensors: By their names here.
        renamed: Of every rule that did something, old and new names.
        left_out: Of every rule that left something out, names.
        unknown: Names that neither a rule knows nor any detector has; not among ``tensors``.
    """

    tensors: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    renamed: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    left_out: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    unknown: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Fit:
    """How tensors compare with a model.

    Attributes:
        missing: Tensors of the model that are not there.
        reshaped: Names of those that have another shape in the model.
        foreign: Names of those that the model does not have.
    """

    missing: list[str]
    reshaped: list[str]
    foreign: list[str]


def detector_weights(checkpoint: object, source: str) -> dict[str, Tensor]:
    """Return the tensors of a detector from what its checkpoint file holds.

    Args:
        checkpoint: As ``torch.load`` returned it.
        source: Says in errors where it comes from.

    Raises:
        CheckpointError: These are no weights, or those of a backbone alone.
    """
    weights = unwrapped(checkpoint)
    if not isinstance(weights, Mapping) or not any(
        isinstance(value, Tensor) for value in weights.values()
    ):
        raise CheckpointError(f'checkpoint {source} holds no weights; give that of a detector')
    tensors = {str(n): value for n, value in weights.items() if isinstance(value, Tensor)}
    if not any(re.match(r'(?:module\.)?backbone\.', name) for name in tensors):
        raise CheckpointError(
            f'checkpoint {source} is none of a detector: no name begins with "backbone." (the '
            f'first is {next(iter(tensors))}); weights of a backbone alone need no conversion, '
            'name them in model.backbone.init_cfg'
        )
    return tensors


def convert_names(weights: Mapping[str, Tensor]) -> Conversion:
    """Apply the rules of ``key_rules`` to every tensor.

    Args:
        weights: By their names in a checkpoint.

    Raises:
        CheckpointError: Two tensors would have the same name.
    """
    result = Conversion()
    rules = [rule for rule in RULES if rule.applies(_unwrapped(weights))]
    for old, value in weights.items():
        name = old
        for rule in rules:
            match = re.fullmatch(rule.pattern, name)
            if match is None:
                continue
            named = rule.convert(match, value)
            if named is None:
                result.left_out.setdefault(rule.what, []).append(old)
                break
            name, value = named
            result.renamed.setdefault(rule.what, {})[old] = name
        else:
            _place(result, old, name, value)
    return result


def _unwrapped(weights: Mapping[str, Tensor]) -> list[str]:
    return [name.removeprefix('module.') for name in weights]


def _place(result: Conversion, old: str, name: str, value: Tensor) -> None:
    if name in result.tensors:
        raise CheckpointError(f'{old} would be {name}, which the checkpoint has already')
    if is_known(name):
        result.tensors[name] = value
    else:
        result.unknown.append(old)


def repeat_backbone(
    tensors: Mapping[str, Tensor], num_backbones: int, del_stages: int = 1
) -> dict[str, Tensor]:
    """Give every network of a composite backbone the weights of a single one.

    Args:
        tensors: Of a detector with one Swin or ResNet, by their names here.
        num_backbones: Number of networks.
        del_stages: ``cb_del_stages`` of the composite backbone.

    Returns:
        The tensors of the composite detector, the connections excepted.

    Raises:
        UserError: The backbone is composite already or of another kind, or a number is out of
            range.
    """
    names = [name for name in tensors if name.startswith('backbone.')]
    if is_composite(names):
        raise UserError('the backbone is composite already; leave out --num-backbones')
    if not is_swin(names) and not any(name.startswith('backbone.layer') for name in names):
        raise UserError('--num-backbones is for Swin and ResNet; this backbone is neither')
    if num_backbones < 2:
        raise UserError(f'--num-backbones is {num_backbones}; a composite backbone has at least 2')
    numbers = [re.match(r'backbone\.(?:layer|stages\.)(\d+)', name) for name in names]
    num_stages = len({number[1] for number in numbers if number})
    check_del_stages(del_stages, int(is_swin(names)), num_stages)
    dropped = (
        CBSwinTransformer.dropped_parts(del_stages - 1)
        if is_swin(names)
        else CBResNet.dropped_parts(del_stages)
    )
    repeated = {}
    for name, value in tensors.items():
        if name not in names:
            repeated[name] = value
            continue
        own = name.removeprefix('backbone.')
        for number in range(num_backbones):
            if number == 0 or not is_within(own, dropped):
                repeated[f'backbone.cb_modules.{number}.{own}'] = value
    return repeated


def compare(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Fit:
    """Compare tensors with those of a model.

    Args:
        tensors: By their names.
        wanted: ``state_dict()`` of the model.
    """
    shared = [name for name in tensors if name in wanted]
    return Fit(
        # Absent from weights of other frameworks; mmengine does not miss it either.
        missing=[n for n in wanted if n not in tensors and not n.endswith('num_batches_tracked')],
        reshaped=[name for name in shared if tensors[name].shape != wanted[name].shape],
        foreign=[name for name in tensors if name not in wanted],
    )


def data_set_meta(checkpoint: Mapping) -> dict:
    """Return what a checkpoint of mmdet 2 or 3 says of its classes, as mmdet 3 says it."""
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    own = meta.get('dataset_meta')
    if isinstance(own, Mapping) and own:
        return dict(own)
    old = {key.lower(): meta.get(key) for key in ('CLASSES', 'PALETTE')}
    return {key: value for key, value in old.items() if isinstance(value, list | tuple) and value}
