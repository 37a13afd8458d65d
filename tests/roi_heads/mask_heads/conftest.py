from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(scope='session')
def golden(shared) -> Callable[[str], dict[str, Tensor]]:
    """Read what the authors' code computed, by the name of a case; numbers as tensors."""

    def read(name: str) -> dict[str, Tensor]:
        with np.load(shared / f'golden/models/{name}.npz') as arrays:
            numbers = {key: arrays[key] for key in arrays if arrays[key].dtype.kind != 'U'}
        return {key: torch.from_numpy(np.asarray(values)) for key, values in numbers.items()}

    return read
