"""Where a mask is refined: the band along its boundary, and how maps grow from stage to stage."""

import torch
import torch.nn.functional as F
from torch import Tensor


def boundary_band(masks: Tensor, width: int) -> Tensor:
    """Find the pixels near the boundary of masks (RefineMask, section 3.3).

    A pixel is near it if more than a tenth of the window around it is of the other kind. Outside
    the map there is background.

    Args:
        masks: Bool (R, 1, H, W).
        width: The window has 2 * width + 1 pixels a side.

    Returns:
        Bool (R, 1, H, W).
    """
    side = 2 * width + 1
    area = side * side
    # Sums of zeros and ones are exact in float32; a tenth of an odd area is no integer.
    foreground = F.avg_pool2d(masks.float(), side, 1, width, divisor_override=1)
    others = torch.where(masks, area - foreground, foreground)
    return others > area / 10


def enlarge(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize maps, float (R, C, h, w), bilinearly from corner to corner."""
    return F.interpolate(maps, tuple(size), mode='bilinear', align_corners=True)
