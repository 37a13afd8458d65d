"""Choosing by name which layers of a model train, and keeping the others as they are."""

import difflib
from collections.abc import Sequence

from torch import nn

from plugins.errors import UserError


def without_stages(name: str) -> str:
    """Leave the numbers out of a dotted name: ``bbox_head.0.fc_cls`` is ``bbox_head.fc_cls``."""
    return '.'.join(part for part in name.split('.') if not part.isdigit())


def is_in(name: str, layers: Sequence[str]) -> bool:
    """Say whether a parameter or buffer belongs to one of the layers, stages named or not.

    Args:
        name: Dotted name as in ``state_dict()``.
        layers: Dotted names of modules or parameters.
    """
    names = (name, without_stages(name))
    return any(n == layer or n.startswith(f'{layer}.') for n in names for layer in layers)


def trains(module: nn.Module | None) -> bool:
    """Say whether anything in a module needs a gradient."""
    return module is not None and any(p.requires_grad for p in module.parameters())


def freeze_all_but(model: nn.Module, layers: Sequence[str]) -> None:
    """Take the gradients from every parameter outside of ``layers``.

    What is frozen already, such as the first stages of a backbone, stays so.

    Args:
        model: Changed in place.
        layers: Dotted names of modules or parameters, with or without the numbers of stages.

    Raises:
        UserError: Nothing is left to train, or a name matches no parameter.
    """
    if not layers or isinstance(layers, str):
        raise UserError(
            "model.trained must be a list of layers such as ['roi_head.bbox_head.fc_cls'], "
            f'not {layers!r}'
        )
    names = [name for name, _ in model.named_parameters()]
    for layer in layers:
        if not any(is_in(name, [layer]) for name in names):
            raise UserError(_no_such_layer(layer, names))
    for name, parameter in model.named_parameters():
        if not is_in(name, layers):
            parameter.requires_grad_(False)
    if not trains(model):
        raise UserError(
            f'model.trained={list(layers)} leaves nothing to train: all of it is frozen elsewhere '
            '(frozen_stages, requires_grad=False in a norm_cfg)'
        )


def hold_frozen(module: nn.Module) -> None:
    """Put everything that does not train into eval mode; the module itself is in training mode.

    Modules without parameters follow what surrounds them. So a loss that counts goes on counting in
    a head of which anything trains, and rests in a frozen one.

    Args:
        module: A module some of whose parameters train.
    """
    for child in module.children():
        if trains(child):
            hold_frozen(child)
        elif any(True for _ in child.parameters()):
            child.eval()


def _no_such_layer(layer: str, names: list[str]) -> str:
    known = set()
    for name in map(without_stages, names):
        parts = name.split('.')
        known.update('.'.join(parts[:depth]) for depth in range(1, len(parts)))
    near = difflib.get_close_matches(without_stages(layer), sorted(known), n=3, cutoff=0.5)
    hint = f'; near names are {", ".join(near)}' if near else ''
    return f'model.trained names {layer!r}, but the model has no such layer{hint}'
