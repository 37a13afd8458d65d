"""RoI max pooling (Girshick, 2015) over whole pixels, with mmcv's fractional bins.

Not ``torchvision.ops.roi_pool``: that one rounds the RoI to whole pixels first, here only the bins
are widened to whole pixels.
"""

import torch
from torch import Tensor

from plugins.ops.precision import widened
from plugins.ops.roi_sampling import (
    bins_to_maps,
    largest_in_bags,
    pixel_rows,
    ragged_ranges,
)
from plugins.ops.roi_validity import mark_broken, replace_broken


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Largest value of each bin.

    Args:
        input: float (B, C, H, W).
        rois: float (R, 5), batch index and x1, y1, x2, y2 in image pixels, x2 and y2 inclusive.
        output: Filled: float (R, C, pooled_height, pooled_width), 0 for a bin without pixels,
            NaN for a RoI that is not finite.
        argmax: Filled: int32, like ``output``, pixel ``row * W + column`` of the value, -1 for a
            bin without pixels.
        pooled_height: Bins per RoI, vertically.
        pooled_width: Bins per RoI, horizontally.
        spatial_scale: Feature pixels per image pixel.
    """
    if output.numel() == 0:
        return
    features, rois = widened(input, rois)
    rois, broken = replace_broken(rois)
    height, width = features.shape[2:]
    y_first, y_count = _bin_spans(rois[:, 2], rois[:, 4], spatial_scale, pooled_height, height)
    x_first, x_count = _bin_spans(rois[:, 1], rois[:, 3], spatial_scale, pooled_width, width)

    full = (len(rois), pooled_height, pooled_width)
    y_first, y_count = (span[:, :, None].expand(full).reshape(-1) for span in (y_first, y_count))
    x_first, x_count = (span[:, None, :].expand(full).reshape(-1) for span in (x_first, x_count))
    image_start = rois[:, 0].long()[:, None, None].expand(full).reshape(-1) * (height * width)

    bin_sizes = y_count * x_count
    owner, place = ragged_ranges(bin_sizes)
    row = y_first[owner] + place // x_count[owner]
    column = x_first[owner] + place % x_count[owner]
    index = image_start[owner] + row * width + column
    values, holder = largest_in_bags(pixel_rows(features), index, bin_sizes)
    holder = torch.where(holder >= 0, holder - image_start[:, None], -1)
    output.copy_(mark_broken(bins_to_maps(values, len(rois), full[1:]), broken))
    argmax.copy_(bins_to_maps(holder, len(rois), full[1:]))


def _bin_spans(
    low: Tensor, high: Tensor, scale: float, bins: int, size: int
) -> tuple[Tensor, Tensor]:
    """First pixel and number of pixels of each bin along one axis: two int64 (R, bins)."""
    start = (low * scale)[:, None]
    extent = ((high + 1) * scale)[:, None] - start
    step = torch.arange(bins, device=low.device)
    first = (step * (extent / bins) + start).floor().clamp(0, size).long()
    last = ((step + 1) * (extent / bins) + start).ceil().clamp(0, size).long()
    return first, torch.where(extent > 0, (last - first).clamp(min=0), 0)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Gradient of :func:`roi_pool_forward`: each bin's gradient goes to its largest pixel.

    Args:
        grad_output: float (R, C, pooled_height, pooled_width).
        rois: As in the forward call.
        argmax: As filled by the forward call.
        grad_input: Filled: float (B, C, H, W), zero on entry.
        pooled_height: Unused, as are the next two: the shapes say it.
        pooled_width: Unused.
        spatial_scale: Unused.
    """
    if grad_output.numel() == 0:
        return
    (grad,) = widened(grad_output)
    rois, _ = replace_broken(rois)
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=grad.device)
    index = argmax.long() + plane[:, :, None, None] * (height * width)
    found = argmax >= 0
    result = grad.new_zeros(grad_input.shape)
    result.view(-1).index_add_(0, index[found], grad[found])
    grad_input.copy_(result)
