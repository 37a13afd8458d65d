"""RoI pooling on a feature pyramid whose bins move, with gradients to how far they move."""

from collections.abc import Sequence

import torch
from mmcv.ops import deform_roi_pool
from torch import Tensor


def choose_levels(rois: Tensor, num_levels: int, finest_scale: float) -> Tensor:
    """Choose the pyramid level of every RoI by its size, as mmdet's ``SingleRoIExtractor`` does.

    Args:
        rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
        num_levels: Number of levels L.
        finest_scale: Below twice this size, the root of the area in pixels, it is level 0.

    Returns:
        Int64 (R,), in [0, L).
    """
    scale = (rois[:, 3:] - rois[:, 1:3]).prod(dim=1).sqrt()
    level = (scale / finest_scale + 1e-6).log2().floor()
    return level.nan_to_num(0.0).clamp(0, num_levels - 1).long()


def sample_rois(
    x: Sequence[Tensor],
    rois: Tensor,
    offset: Tensor,
    *,
    strides: Sequence[int],
    sampling_ratio: int,
    gamma: float,
    finest_scale: float,
) -> Tensor:
    """Pool RoIs as an aligned RoIAlign does, every bin shifted by its own offset.

    Deformable RoI pooling (Dai et al. 2017, section 2.2) by mmcv's operator, which samples again in
    the backward pass instead of keeping its samples. The level of a RoI follows from where it was,
    not from where its bins are. Everything is float32, also under autocast: half precision rounds
    coordinates beyond 1024 to whole pixels.

    Args:
        x: Feature maps, float (N, C, h, w) each; those beyond the strides are not used.
        rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
        offset: Float (R, 2, rows, columns): by how much the bins move to the right and down, in
            widths and heights of the RoI divided by ``gamma``.
        strides: Network pixels per pixel of each map.
        sampling_ratio: Samples per bin and direction; 0 is about one per pixel of the map.
        gamma: Scale of the offsets.
        finest_scale: As in ``choose_levels``.

    Returns:
        Float32 (R, C, rows, columns), with gradients to the offset and to every map used, if only
        zeros: distributed training waits for each.
    """
    rois, offset = rois.float(), offset.float()
    level = choose_levels(rois, len(strides), finest_scale)
    # Sorted, so that the sizes of all groups reach the host at once.
    order = level.argsort(stable=True)
    sizes = torch.bincount(level, minlength=len(strides)).tolist()
    groups = zip(
        x,
        strides,
        rois.index_select(0, order).split(sizes),
        offset.index_select(0, order).split(sizes),
        strict=False,
    )
    pooled = [
        _sample_level(features, stride, own_rois, own_offset, sampling_ratio, gamma)
        for features, stride, own_rois, own_offset in groups
    ]
    return torch.cat(pooled).index_select(0, order.argsort())


def _sample_level(
    features: Tensor,
    stride: int,
    rois: Tensor,
    offset: Tensor,
    sampling_ratio: int,
    gamma: float,
) -> Tensor:
    size = tuple(offset.shape[2:])
    if len(rois) == 0:
        # A compiled operator cannot be started on nothing.
        nothing = features[:0, :, :1, :1] + offset[:, :1, :1, :1]
        return nothing.expand(0, features.shape[1], *size)
    return deform_roi_pool(
        features.float(), rois, offset, size, 1.0 / stride, sampling_ratio, gamma
    )
