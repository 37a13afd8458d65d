"""One dict for all stages of a cascade: how it becomes one config per stage."""

import copy

from mmengine.config import ConfigDict
from torch import nn

from plugins.errors import UserError

PREFIX = 'stage_'


def expand_stages(
    config: dict | list | tuple | None, num_stages: int, address: str
) -> list[ConfigDict | None]:
    """Turn one config into one per stage.

    A key ``stage_x`` at any depth holds a list with one value of ``x`` per stage; everything else
    is the same in all stages. ``dict(bbox_coder=dict(stage_target_stds=[a, b, c]))`` gives stage 1
    the coder ``dict(target_stds=b)``. A list is taken as it is, one config per stage, as in mmdet.

    Args:
        config: The dict, a list of dicts, or None.
        num_stages: Number of stages.
        address: Where the config stands (``roi_head.bbox_head``), for error messages.

    Returns:
        ``num_stages`` independent configs (or None each).

    Raises:
        UserError: A list, here or under a ``stage_`` key, has another length than the cascade.
    """
    if config is None:
        return [None] * num_stages
    if isinstance(config, list | tuple):
        _check_length(config, num_stages, address)
        return [copy.deepcopy(ConfigDict(stage)) for stage in config]
    return [
        ConfigDict(_at_stage(config, stage, num_stages, address)) for stage in range(num_stages)
    ]


def stages_of(heads: nn.Module) -> list[nn.Module]:
    """Return the heads of all stages; a RoI head without stages has one that is no list."""
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


def place_last(
    configs: list[ConfigDict | None], last: dict | None, *, num_classes: int
) -> list[ConfigDict | None]:
    """Replace the last stage's config by ``last``, if there is one.

    Args:
        configs: Mask heads of the stages.
        last: ``roi_head.last_mask_head``.
        num_classes: Of the box head; ``last`` need not repeat it.

    Raises:
        UserError: The stages before the last have no config, or ``last`` has other classes.
    """
    if last is None:
        return configs
    if None in configs[:-1]:
        raise UserError('roi_head.last_mask_head needs roi_head.mask_head for the other stages')
    return [*configs[:-1], with_num_classes(last, num_classes, 'roi_head.last_mask_head')]


def with_num_classes(config: dict, num_classes: int, address: str) -> ConfigDict:
    """Return a copy of a head's config that has the number of classes.

    Args:
        config: The config, which need not say it.
        num_classes: Of the box head.
        address: Where the config stands, for the error message.

    Raises:
        UserError: It says another number.
    """
    config = ConfigDict(copy.deepcopy(config))
    if config.setdefault('num_classes', num_classes) != num_classes:
        raise UserError(
            f'{address}.num_classes is {config.num_classes}, but the box head has {num_classes} '
            'classes; leave it out'
        )
    return config


def _at_stage(node: object, stage: int, num_stages: int, address: str) -> object:
    if isinstance(node, list | tuple):
        return type(node)(_at_stage(value, stage, num_stages, address) for value in node)
    if not isinstance(node, dict):
        return copy.deepcopy(node)
    expanded = {}
    for key, value in node.items():
        here = f'{address}.{key}'
        if key.startswith(PREFIX):
            if not isinstance(value, list | tuple):
                raise UserError(f'{here} must be a list with one value per stage')
            _check_length(value, num_stages, here)
            key, value = key.removeprefix(PREFIX), value[stage]
        expanded[key] = _at_stage(value, stage, num_stages, here)
    return expanded


def _check_length(values: list | tuple, num_stages: int, address: str) -> None:
    if len(values) != num_stages:
        raise UserError(
            f'{address} has {len(values)} entries, but the model has {num_stages} stages'
        )
