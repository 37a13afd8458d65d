"""Deformable RoI pooling (Dai et al., 2017, section 2.2), the averaging form of mmcv.

Each bin of an aligned RoIAlign is shifted by gamma times its offset, in units of the RoI's width
and height, before it is sampled.
"""

import torch
from torch import Tensor

from plugins.ops.precision import widened
from plugins.ops.roi_sampling import average_bins, bin_points, bins_to_maps, maps_to_bins
from plugins.ops.roi_validity import mark_broken, replace_broken


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Average of the bilinear samples of each shifted bin.

    Args:
        input: float (B, C, H, W).
        rois: float (R, 5), batch index and x1, y1, x2, y2 in image pixels.
        offset: float (R, 2, pooled_height, pooled_width), x then y; or no elements for no shift.
        output: Filled: float (R, C, pooled_height, pooled_width), NaN for a RoI that is not
            finite.
        pooled_height: Bins per RoI, vertically.
        pooled_width: Bins per RoI, horizontally.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and direction; 0 or less for about one per feature pixel.
        gamma: Shift per unit of offset, as a fraction of the RoI.
    """
    if output.numel() == 0:
        return
    size = (pooled_height, pooled_width)
    features, rois, offset = widened(input, rois, offset)
    rois, broken = replace_broken(rois)
    shift = offset * gamma if offset.numel() else None
    points = bin_points(rois, size, spatial_scale, sampling_ratio, offset=shift)
    pooled = bins_to_maps(average_bins(features, points), len(rois), size)
    output.copy_(mark_broken(pooled, broken))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Gradient of :func:`deform_roi_pool_forward`, by running it again under autograd.

    It is the true derivative. The compiled kernel extrapolates where a sample lies in the outermost
    pixel ring, so there the offset gradients of the two differ.

    Args:
        grad_output: float (R, C, pooled_height, pooled_width).
        input: As in the forward call, like ``rois`` and ``offset``.
        rois: float (R, 5).
        offset: float (R, 2, pooled_height, pooled_width), or no elements.
        grad_input: Filled: float (B, C, H, W), zero on entry.
        grad_offset: Filled: like ``offset``, zero on entry.
        pooled_height: As in the forward call, like all that follow.
        pooled_width: Bins per RoI, horizontally.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and direction.
        gamma: Shift per unit of offset.
    """
    if grad_output.numel() == 0:
        return
    size = (pooled_height, pooled_width)
    grad, features, rois, offset = (
        tensor.detach() for tensor in widened(grad_output, input, rois, offset)
    )
    rois, _ = replace_broken(rois)
    with torch.enable_grad():
        leaves = [features.requires_grad_()]
        shift = None
        if offset.numel():
            leaves.append(offset.requires_grad_())
            shift = offset * gamma
        points = bin_points(rois, size, spatial_scale, sampling_ratio, offset=shift)
        bins = average_bins(features, points)
    grads = torch.autograd.grad(bins, leaves, maps_to_bins(grad))
    for buffer, result in zip((grad_input, grad_offset), grads, strict=False):
        buffer.copy_(result)
