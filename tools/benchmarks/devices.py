"""Where benchmarks of torch run."""

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Asking torch for a GPU would cost every benchmark the import.
DEVICES = ('cpu', 'cuda') if shutil.which('nvidia-smi') else ('cpu',)


def named(item: str, device: str) -> str:
    """Name of an item on a device."""
    return item if device == 'cpu' else f'{item}_{device}'


def synchronize(value: 'Tensor') -> None:
    """Wait for the GPU that computes a tensor; a CPU is not waited for."""
    if value.is_cuda:
        import torch

        torch.cuda.synchronize()
