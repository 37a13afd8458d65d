"""Composite backbones of the golden files, and their weights in every layout that we read."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmdet.models.backbones.swin import swin_converter


class Golden:
    """One golden file.

    Args:
        path: An ``.npz`` file.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}

    def __getitem__(self, name: str) -> Tensor:
        """Return an array."""
        return torch.from_numpy(self.arrays[name])

    def options(self) -> dict:
        """Return the options of the network as our classes name them."""
        found = {n[4:]: a.tolist() for n, a in self.arrays.items() if n.startswith('cfg.')}
        found.pop('cb_inplanes', None)
        return found

    def state(self) -> dict[str, Tensor]:
        """Return the weights under the names of the reference."""
        return {name[3:]: self[name] for name in self.arrays if name.startswith('sd.')}


def in_stock_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a reference composite Swin's networks as mmdet names them."""
    renamed = {}
    for name, value in state.items():
        prefix = '.'.join(name.split('.')[:2]) + '.'
        if name.startswith('cb_modules.'):
            for new, converted in swin_converter({name.removeprefix(prefix): value}).items():
                renamed[prefix + new.removeprefix('backbone.')] = converted
        else:
            renamed[name] = value
    return renamed


def of_network(state: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return the weights of one network of a composite backbone, without its prefix."""
    prefix = f'cb_modules.{number}.'
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
