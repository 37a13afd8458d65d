"""The same pretrained weights for several backbones."""

from collections.abc import Sequence

from mmengine.logging import print_log
from torch import nn

from plugins.errors import UserError


def initialize_alike(networks: Sequence[nn.Module]) -> None:
    """Initialise networks of one kind; weights from a file are read once, for all of them.

    Args:
        networks: Their ``init_cfg`` are equal; the state of the first has all that the others have.

    Raises:
        UserError: Nothing in the file fits.
    """
    first, *others = networks
    path = pretrained_path(first.init_cfg)
    if path is None:
        for network in networks:
            network.init_weights()
        return
    _load(first, path)
    state = first.state_dict()
    for network in others:
        network.load_state_dict({name: state[name] for name in network.state_dict()})
        network._is_init = True


def pretrained_path(init_cfg: dict | list | None) -> str | None:
    """Return the file that an ``init_cfg`` names, or None."""
    for entry in init_cfg if isinstance(init_cfg, list) else [init_cfg]:
        if entry and entry.get('checkpoint'):
            return entry['checkpoint']
    return None


def _load(network: nn.Module, path: str) -> None:
    # mmengine loads what fits and warns, also if that is nothing. A tensor counts its writings.
    before = {name: parameter._version for name, parameter in network.named_parameters()}
    network.init_weights()
    loaded = [n for n, parameter in network.named_parameters() if parameter._version != before[n]]
    if not loaded:
        raise UserError(
            f'backbone.init_cfg: the weights in {path} have none of the names and shapes of '
            f'{type(network).__name__}; give the settings that they were trained with'
        )
    print_log(f'{path}: {len(loaded)} of {len(before)} tensors for each backbone', 'current')
