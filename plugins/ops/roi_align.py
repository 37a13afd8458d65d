"""RoIAlign (He et al., 2017): bilinear samples of each bin, averaged or their maximum.

Averaging is torchvision's kernel. No shipped config uses the maximum; it runs on
:mod:`plugins.ops.roi_sampling`.
"""

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from plugins.ops.precision import widened
from plugins.ops.roi_sampling import (
    BinPoints,
    average_bins,
    bilinear_taps,
    bin_points,
    bins_to_maps,
    largest_in_bags,
    maps_to_bins,
    sample_bags,
)
from plugins.ops.roi_validity import mark_broken, replace_broken

_MAXIMUM = 0
# What the compiled module writes for a bin without sampling points.
_EMPTY_MAXIMUM = -10000


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool each RoI to a fixed size.

    Args:
        input: float (B, C, H, W).
        rois: float (R, 5), batch index and x1, y1, x2, y2 in image pixels; may be more precise
            than the features.
        output: Filled: float (R, C, aligned_height, aligned_width), NaN for a RoI that is not
            finite.
        argmax_y: Filled for the maximum: like ``output``, row of the largest sample in feature
            pixels, -1 for a bin without samples.
        argmax_x: Its column.
        aligned_height: Bins per RoI, vertically.
        aligned_width: Bins per RoI, horizontally.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and direction; 0 or less for about one per feature pixel.
        pool_mode: 0 maximum, 1 average.
        aligned: Half-pixel shift; False is the legacy geometry.
    """
    if output.numel() == 0:
        return
    size = (aligned_height, aligned_width)
    features, rois = widened(input, rois)
    rois, broken = replace_broken(rois)
    if pool_mode != _MAXIMUM:
        pooled = torch.ops.torchvision.roi_align(
            features, rois, spatial_scale, *size, sampling_ratio, aligned
        )
        output.copy_(mark_broken(pooled, broken))
        return
    points = bin_points(rois, size, spatial_scale, sampling_ratio, aligned=aligned)
    values, holder = _largest_samples(features, points)
    values = torch.where(holder >= 0, values, _EMPTY_MAXIMUM)
    # Holder -1, a bin without samples, reads the -1 appended to the positions.
    y, x = (F.pad(position, (0, 1), value=-1)[holder] for position in (points.y, points.x))
    output.copy_(mark_broken(bins_to_maps(values, len(rois), size), broken))
    argmax_y.copy_(bins_to_maps(y, len(rois), size))
    argmax_x.copy_(bins_to_maps(x, len(rois), size))


def _largest_samples(features: Tensor, points: BinPoints) -> tuple[Tensor, Tensor]:
    each_point = torch.ones_like(points.image)
    samples = sample_bags(features, points, each_point)
    order = torch.arange(len(samples), device=samples.device)
    return largest_in_bags(samples, order, points.bin_sizes)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of :func:`roi_align_forward` with respect to the features.

    Args:
        grad_output: float (R, C, aligned_height, aligned_width).
        rois: As in the forward call.
        argmax_y: As filled by the forward call.
        argmax_x: As filled by the forward call.
        grad_input: Filled: float (B, C, H, W), zero on entry.
        aligned_height: As in the forward call, like all that follow.
        aligned_width: Bins per RoI, horizontally.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and direction.
        pool_mode: 0 maximum, 1 average.
        aligned: Half-pixel shift.
    """
    if grad_output.numel() == 0 or grad_input.numel() == 0:
        return
    grad, rois = widened(grad_output, rois)
    rois, _ = replace_broken(rois)
    size = (aligned_height, aligned_width)
    if pool_mode == _MAXIMUM:
        grad_input.copy_(_maximum_grad(grad, rois, argmax_y, argmax_x, grad_input.shape))
    elif grad.is_cuda and torch.are_deterministic_algorithms_enabled():
        # torchvision's kernel adds atomically and refuses to run in this mode.
        points = bin_points(rois, size, spatial_scale, sampling_ratio, aligned=aligned)
        grad_input.copy_(_average_grad(grad, points, grad_input.shape))
    else:
        result = torch.ops.torchvision._roi_align_backward(
            grad, rois, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned
        )
        grad_input.copy_(result)


def _average_grad(grad: Tensor, points: BinPoints, shape: torch.Size) -> Tensor:
    with torch.enable_grad():
        features = grad.new_zeros(shape).requires_grad_()
        bins = average_bins(features, points)
    return torch.autograd.grad(bins, features, maps_to_bins(grad))[0]


def _maximum_grad(
    grad: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, shape: torch.Size
) -> Tensor:
    channels, height, width = shape[1:]
    argmax_y, argmax_x = argmax_y.to(grad.dtype), argmax_x.to(grad.dtype)
    index, weight = bilinear_taps(argmax_y, argmax_x, height, width)
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=grad.device)
    index = index + plane[:, :, None, None] * (height * width)
    # -1 marks a bin without samples.
    share = grad * weight * (argmax_y != -1)
    result = grad.new_zeros(shape)
    result.view(-1).index_add_(0, index.reshape(-1), share.reshape(-1))
    return result
