"""Pretrained weights of timm models: from the network or a cache, or from a file of the user."""

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from plugins.errors import UserError


def pretrained_weights(model_name: str, source: bool | str, options: dict) -> dict[str, Tensor]:
    """Return the state of a timm model after timm has loaded weights into it.

    Args:
        model_name: timm's name, with or without the tag of the weights.
        source: True for timm's own weights, else the path of a file.
        options: What ``timm.create_model`` gets besides.

    Raises:
        UserError: There are no such weights, or they belong to another model.
    """
    import timm
    from safetensors import SafetensorError

    if isinstance(source, str) and not Path(source).is_file():
        raise UserError(f'backbone.pretrained: {source} does not exist; check the path')
    overlay = dict(file=source) if isinstance(source, str) else None
    failures = (OSError, RuntimeError, ValueError, KeyError, TypeError)
    try:
        loaded = _same_draw(
            lambda: timm.create_model(
                model_name, pretrained=True, pretrained_cfg_overlay=overlay, **options
            )
        )
    except (*failures, pickle.UnpicklingError, SafetensorError) as error:
        raise UserError(_explain(model_name, source, error)) from error
    drawn = _same_draw(lambda: timm.create_model(model_name, **options))
    _check_all_loaded(loaded, drawn, model_name, source)
    return loaded.state_dict()


def _same_draw(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def _check_all_loaded(
    loaded: nn.Module, drawn: nn.Module, model_name: str, source: bool | str
) -> None:
    """Raise if weights are still as they were drawn: timm tolerates a file without them."""
    before = dict(drawn.named_parameters())
    left = [
        name
        for name, value in loaded.named_parameters()
        if value.ndim > 1 and torch.equal(value, before[name]) and value.std() > 0
    ]
    if left:
        raise UserError(
            f'backbone.pretrained: {source} is not made for {model_name!r}: it has no weights for '
            f'{", ".join(left[:3])} ({len(left)} in all); set model_name to the model of the file'
        )


def _explain(model_name: str, source: bool | str, error: Exception) -> str:
    reason = ' '.join(str(error).split())[:200]
    if isinstance(source, str):
        return (
            f'backbone.pretrained: {source} cannot be read as weights of {model_name!r} '
            f'({reason}); give a .safetensors file of that model, or a checkpoint without code'
        )
    import timm

    known = timm.get_pretrained_cfg(model_name)
    if not (known and (known.hf_hub_id or known.url)):
        return (
            f'backbone.pretrained: timm has no weights for {model_name!r}; set it to False or to '
            'the path of a file'
        )
    return (
        f'backbone.pretrained: the weights of {model_name!r} are neither in the cache nor can they '
        f'be downloaded ({reason}); fetch model.safetensors of {known.hf_hub_id or known.url} '
        "where there is a network and set backbone.pretrained='path/of/model.safetensors'"
    )
