"""Parts of a foreign network that training must leave alone."""

from collections.abc import Iterable

from torch import nn

# Batch and instance norms share the first; timm's norms with an activation derive from these.
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


def norm_layers(model: nn.Module) -> list[nn.Module]:
    """Return the batch, instance, group and layer norms of a model."""
    return [module for module in model.modules() if isinstance(module, _NORMS)]


def freeze(parameters: Iterable[nn.Parameter]) -> None:
    """Exclude parameters from training."""
    for parameter in parameters:
        parameter.requires_grad_(False)


def freeze_through(model: nn.Module, name: str, *, inclusive: bool = True) -> list[nn.Module]:
    """Exclude everything registered up to a module from training.

    Args:
        model: A network whose modules are registered in the order in which they run.
        name: Name of the module, as ``feature_info`` of timm gives it.
        inclusive: Whether the named module and what it contains is meant too.

    Returns:
        The modules to keep in eval mode. Those that contain the named module are not among them,
        but parameters of their own (position embeddings) are frozen.

    Raises:
        KeyError: The model has no such module.
    """
    modules = dict(model.named_modules())
    # timm's extractors fold the first dot of a name, or put the model below a module of theirs.
    aliases = (name, name.replace('.', '_', 1), f'model.{name}')
    found = next((alias for alias in aliases if alias in modules), None)
    if not found:
        raise KeyError(name)
    names = list(modules)
    end = names.index(found)
    if inclusive:
        end += sum(1 for _ in modules[found].modules())
    for key in names[:end]:
        freeze(modules[key].parameters(recurse=False))
    around = {''} | {found[:i] for i, sign in enumerate(found) if sign == '.'}
    return [modules[key] for key in names[:end] if key not in around]
