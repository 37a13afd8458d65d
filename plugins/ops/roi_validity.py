"""RoIs of a diverged model: NaN must come out as NaN, not as an invalid memory access.

The kernels turn coordinates into indices without looking at them, so one NaN or infinite RoI ends
the process (on the CPU), or never ends (an infinite sampling grid).
"""

import math

import torch
from torch import Tensor


def replace_broken(rois: Tensor) -> tuple[Tensor, Tensor]:
    """RoIs that are safe to sample, and which of them had to be replaced.

    Args:
        rois: float (R, 5).

    Returns:
        float (R, 5), zeros where a value is NaN or infinite, and bool (R,), true for those.
    """
    broken = ~rois.isfinite().all(dim=1)
    return torch.where(broken[:, None], 0, rois), broken


def mark_broken(pooled: Tensor, broken: Tensor) -> Tensor:
    """Overwrite the values of replaced RoIs, float (R, ...), by NaN, in place."""
    # The check saves a pass over memory on the CPU; elsewhere it would wait for the device.
    if broken.device.type == 'cpu' and not broken.any():
        return pooled
    return pooled.masked_fill_(broken.view(-1, *[1] * (pooled.dim() - 1)), math.nan)
