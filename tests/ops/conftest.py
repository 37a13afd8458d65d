"""References shared by the operator tests: slow, plain Python, float64."""

import math
from collections.abc import Callable

import pytest
import torch

DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    """Every device of this machine in turn."""
    return request.param


@pytest.fixture
def read_pixel_blend() -> Callable:
    """Bilinear value of a (H, W) map at (y, x) with the border rules of RoIAlign."""

    def read(plane: torch.Tensor, y: float, x: float) -> float:
        height, width = plane.shape
        if y < -1 or y > height or x < -1 or x > width:
            return 0.0
        y, x = (min(max(p, 0.0), n - 1.0) for p, n in ((y, height), (x, width)))
        top, left = math.floor(y), math.floor(x)
        total = 0.0
        for row, row_share in ((top, 1 - (y - top)), (top + 1, y - top)):
            for column, column_share in ((left, 1 - (x - left)), (left + 1, x - left)):
                if row_share * column_share > 0:
                    total += row_share * column_share * float(plane[row, column])
        return total

    return read


@pytest.fixture
def read_zero_padded() -> Callable:
    """Bilinear value of a (H, W) map at (y, x) where everything outside the map is 0."""

    def read(plane: torch.Tensor, y: float, x: float) -> float:
        height, width = plane.shape
        total = 0.0
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    total += share * float(plane[row, column])
        return total

    return read


@pytest.fixture
def rois() -> torch.Tensor:
    """Six RoIs on two 64 x 80 images: small, large, over the border, far out, without area."""
    return torch.tensor(
        [
            [0, 3.3, 5.1, 30.7, 41.9],
            [1, 0.2, 0.4, 79.0, 63.0],
            [1, 40.5, 20.25, 44.75, 27.5],
            [0, -12.0, -9.0, 20.0, 15.0],
            [0, 300.0, 300.0, 340.0, 330.0],
            [1, 20.0, 20.0, 20.0, 20.0],
        ],
        dtype=torch.float64,
    )
