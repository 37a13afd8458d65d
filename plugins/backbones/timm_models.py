"""What a timm model says of itself before any memory is spent on it.

timm is imported inside the functions: it takes over a second, and most models do without.
"""

import dataclasses
import difflib
import inspect

import torch
from torch import nn

from plugins.errors import UserError

# Levels are counted from here, as mmdet's backbones do; some families also give out their stem.
_FIRST_STRIDE = 4


@dataclasses.dataclass(frozen=True)
class Level:
    """A feature map that a model offers.

    Attributes:
        index: Its place in timm's own list, which may begin with the stem.
        channels: Number of channels.
        stride: Network pixels per position.
        module: Name of the module that it comes out of.
    """

    index: int
    channels: int
    stride: int
    module: str


def outline(model_name: str, **kwargs) -> nn.Module:
    """Build a model without memory for its weights.

    Raises:
        UserError: timm knows no such model, tag or option.
    """
    import timm

    name = model_name.split('.')[0]
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f'did you mean {", ".join(close)}?' if close else 'see timm.list_models()'
        raise UserError(f'backbone.model_name: timm {timm.__version__} has no {name!r}; {hint}')
    try:
        with torch.device('meta'):
            return timm.create_model(model_name, **kwargs)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f'backbone: timm cannot build {model_name!r} with {kwargs} ({error}); correct '
            'model_name and the options that are passed on'
        ) from error


def feature_levels(model: nn.Module, model_name: str) -> list[Level]:
    """Return the feature maps of a model whose stride is 4 or more, finest first.

    Raises:
        UserError: The model has none.
    """
    info = getattr(model, 'feature_info', None) or []
    levels = [
        Level(index, entry['num_chs'], entry['reduction'], entry['module'])
        for index, entry in enumerate(info)
        if entry['reduction'] >= _FIRST_STRIDE
    ]
    if not levels:
        raise UserError(
            f'backbone.model_name: {model_name!r} has no feature maps; take a model that builds '
            'with timm.create_model(name, features_only=True)'
        )
    return levels


def any_size_options(model: nn.Module) -> dict[str, bool]:
    """Return the options that let a model take images of any size, if its family has them."""
    offered = inspect.signature(type(model).__init__).parameters
    wanted = dict(dynamic_img_size=True, strict_img_size=False)
    return {key: value for key, value in wanted.items() if key in offered}


def unused_parameters(features: nn.Module) -> set[str]:
    """Return the names of trainable parameters that no feature map depends on.

    Args:
        features: A feature extractor as ``outline`` builds it.
    """
    trained = {name: value for name, value in features.named_parameters() if value.requires_grad}
    size = features.pretrained_cfg['input_size']
    with torch.device('meta'):
        maps = features.eval()(torch.zeros(1, *size))
    total = sum(m.sum() for m in maps)
    gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    return {name for name, value in zip(trained, gradients, strict=True) if value is None}
