"""How a test puts the masks of all stages together."""

import torch
from torch import Tensor

from plugins.roi_heads.mask_heads.boundary_region import boundary_band, enlarge


def merge_refined(logits: list[Tensor], start_stage: int) -> Tensor:
    """Let every stage correct the one before along the boundary alone.

    Away from the boundary the coarse mask is enlarged. Nothing is changed in place.

    Args:
        logits: Of every stage, float (R, 1, S, S), each stage larger than the one before.
        start_stage: The first that is looked at.

    Returns:
        Float32 logits of the last stage's size.
    """
    merged = logits[start_stage].float()
    for finer in logits[start_stage + 1 :]:
        size = finer.shape[-2:]
        is_inside = ~boundary_band(merged.sigmoid() >= 0.5, width=1)
        keeps = enlarge(is_inside.float(), size) >= 0.5
        merged = torch.where(keeps, enlarge(merged, size), finer.float())
    return merged
