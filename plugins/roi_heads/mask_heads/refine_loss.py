"""The losses of RefineMask: whole masks in the first stages, the boundary in the later ones."""

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.roi_heads.mask_heads.boundary_region import boundary_band, enlarge


def stage_losses(
    logits: list[Tensor], targets: list[Tensor], *, boundary_width: int, start_stage: int
) -> list[Tensor]:
    """Compute the binary cross entropy of every stage.

    Up to ``start_stage`` it is the mean over all pixels; after that over those near a boundary of
    the target or of what the stages before would predict.

    Args:
        logits: Of every stage, float (R, 1, S, S).
        targets: Of every stage, float (R, S, S), 0 or 1.
        boundary_width: See ``boundary_band``.
        start_stage: The last stage that learns all pixels.

    Returns:
        Float32 scalars, 0 without RoIs or without pixels near a boundary.
    """
    losses = []
    predicted = None
    for stage, (own, target) in enumerate(zip(logits, targets, strict=True)):
        errors = F.binary_cross_entropy_with_logits(own.float(), target[:, None], reduction='none')
        if stage <= start_stage:
            losses.append(errors.sum() / max(errors.numel(), 1))
            predicted = own.detach().float().sigmoid() >= 0.5
            continue
        bands = boundary_band(predicted, boundary_width)
        bands |= boundary_band(targets[stage - 1][:, None] >= 0.5, boundary_width)
        region = enlarge(bands.float(), own.shape[-2:]) >= 0.5
        # Not a product: an error may be infinite outside.
        losses.append(torch.where(region, errors, 0.0).sum() / region.sum().clamp(min=1))
        predicted = _predict(predicted, logits[stage - 1], own)
    return losses


@torch.no_grad()
def _predict(predicted: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """Predict what two stages make together, bool (R, 1, S, S).

    As in the authors' code the coarse logits are the stage's own, where ``merge_refined`` has the
    merged ones.
    """
    size = fine.shape[-2:]
    is_refined = enlarge(boundary_band(predicted, width=1).float(), size) >= 0.5
    logits = torch.where(is_refined, fine.float(), enlarge(coarse.float(), size))
    return logits.sigmoid() >= 0.5


def semantic_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean binary cross entropy of what is an object, from float (N, 1, h, w)."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets)
