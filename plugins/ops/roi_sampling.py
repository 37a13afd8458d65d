"""Bilinear sampling of RoI bins, for the RoI operators that torchvision does not have.

A RoI of any size is a ragged set of sampling points. Instead of padding it, the feature map is
taken as a table with one row of C values per pixel, and bins are *bags* of rows:
``embedding_bag`` sums weighted rows without ever holding a (points, C) array, and on CUDA its
gradient is deterministic.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class BinPoints:
    """The P sampling points of all bins, bin after bin (RoI-major, then row, then column).

    Attributes:
        image: int64 (P,), index of the image in the batch.
        y: float (P,), row in feature pixels; pixel 0 is centred at 0.
        x: float (P,), column in feature pixels.
        bin_sizes: int64 (R * pooled_h * pooled_w,), points per bin; 0 for a RoI without extent.
    """

    image: Tensor
    y: Tensor
    x: Tensor
    bin_sizes: Tensor


def bin_points(
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    *,
    aligned: bool = True,
    offset: Tensor | None = None,
) -> BinPoints:
    """Sampling points of RoIAlign (He et al., 2017) on a regular grid in each bin.

    Args:
        rois: float (R, 5), batch index and x1, y1, x2, y2 in image pixels.
        output_size: Bins (rows, columns) per RoI.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Points per bin and direction; 0 or less for one per feature pixel.
        aligned: Shift by half a pixel; False is the legacy geometry with RoIs of at least 1 x 1.
        offset: float (R, 2, rows, columns), x and y shift of each bin in RoI widths and heights.

    Returns:
        The points; ``y`` and ``x`` are differentiable with respect to ``offset``.
    """
    rows, columns = output_size
    start, end = (rois[:, [1, 2]] * spatial_scale, rois[:, [3, 4]] * spatial_scale)
    if aligned:
        start, end = start - 0.5, end - 0.5
    extent = end - start if aligned else (end - start).clamp(min=1)
    bin_extent = extent / extent.new_tensor([columns, rows])
    if sampling_ratio > 0:
        grid = torch.full_like(extent, sampling_ratio, dtype=torch.long)
    else:
        grid = bin_extent.ceil().long().clamp(min=0)

    roi, row, column = (
        axis.reshape(-1)
        for axis in torch.meshgrid(
            *(torch.arange(size, device=rois.device) for size in (len(rois), rows, columns)),
            indexing='ij',
        )
    )
    corner = start[roi]
    if offset is not None:
        corner = corner + extent[roi] * offset.flatten(2).transpose(1, 2).reshape(-1, 2)
    corner = corner + torch.stack([column, row], dim=1) * bin_extent[roi]

    bin_sizes = grid.prod(dim=1)[roi]
    owner, place = ragged_ranges(bin_sizes)
    point_roi = roi[owner]
    point_grid = grid[point_roi]
    step = torch.stack([place % point_grid[:, 0], place // point_grid[:, 0]], dim=1)
    position = corner[owner] + (step + 0.5) * bin_extent[point_roi] / point_grid
    return BinPoints(rois[:, 0].long()[point_roi], position[:, 1], position[:, 0], bin_sizes)


def ragged_ranges(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Owner and place of each element of consecutive bags.

    Args:
        sizes: int64 (B,), elements per bag, 0 allowed.

    Returns:
        Two int64 (sum of sizes,): the bag of each element, and its place in it from 0.
    """
    owner = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    place = torch.arange(len(owner), device=sizes.device) - bag_starts(sizes)[owner]
    return owner, place


def bag_starts(sizes: Tensor) -> Tensor:
    """First element of each bag: int64 (B,), the exclusive running sum of ``sizes``."""
    return sizes.cumsum(dim=0) - sizes


def bilinear_taps(y: Tensor, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The four pixels around each point and their weights, with the border rules of RoIAlign.

    Up to one pixel outside the map the nearest edge is read; further out the value is 0.

    Args:
        y: float (...), rows.
        x: float (...), columns.
        height: Rows of the map.
        width: Columns of the map.

    Returns:
        int64 (4, ...) ``row * width + column``, and float (4, ...), differentiable in y and x.
    """
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    # Points far outside (or NaN) must not become an index; their weight is 0 all the same.
    y_low, y_high, y_rest = _axis_taps(torch.where(inside, y, 0), height)
    x_low, x_high, x_rest = _axis_taps(torch.where(inside, x, 0), width)
    index = [y_low * width + x_low, y_low * width + x_high]
    index += [y_high * width + x_low, y_high * width + x_high]
    weight = [(1 - y_rest) * (1 - x_rest), (1 - y_rest) * x_rest]
    weight += [y_rest * (1 - x_rest), y_rest * x_rest]
    return torch.stack(index), torch.stack(weight) * inside


def _axis_taps(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    position = position.clamp(min=0)
    low = position.detach().floor().long().clamp(max=size - 1)
    high = (low + 1).clamp(max=size - 1)
    return low, high, torch.where(low < size - 1, position - low, 0)


def pixel_rows(features: Tensor) -> Tensor:
    """The feature map (B, C, H, W) as a table (B * H * W, C)."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.size(1))


def sample_bags(features: Tensor, points: BinPoints, bag_sizes: Tensor) -> Tensor:
    """Sum of the bilinear samples in each bag of consecutive points.

    Args:
        features: float (B, C, H, W).
        points: P points.
        bag_sizes: int64 (N,), points per bag, P in total.

    Returns:
        float (N, C), differentiable with respect to the features and the points.
    """
    height, width = features.shape[2:]
    index, weight = bilinear_taps(points.y, points.x, height, width)
    index = index + points.image * (height * width)
    return F.embedding_bag(
        index.t().reshape(-1),
        pixel_rows(features),
        bag_starts(bag_sizes) * 4,
        mode='sum',
        per_sample_weights=weight.t().reshape(-1),
    )


def average_bins(features: Tensor, points: BinPoints) -> Tensor:
    """Mean of the bilinear samples in each bin: float (bins, C), 0 for a bin without points."""
    sums = sample_bags(features, points, points.bin_sizes)
    return sums / points.bin_sizes.clamp(min=1)[:, None]


def bins_to_maps(values: Tensor, num_rois: int, output_size: tuple[int, int]) -> Tensor:
    """Reorder (R * rows * columns, C) to (R, C, rows, columns)."""
    return values.reshape(num_rois, *output_size, values.size(1)).permute(0, 3, 1, 2)


def maps_to_bins(maps: Tensor) -> Tensor:
    """Inverse of :func:`bins_to_maps`: (R, C, rows, columns) to (R * rows * columns, C)."""
    return pixel_rows(maps)


def largest_in_bags(rows: Tensor, index: Tensor, bag_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Largest value per bag and channel, and the row that holds it (the first of several).

    Args:
        rows: float (T, C).
        index: int64 (P,), rows in [0, T), bag after bag.
        bag_sizes: int64 (N,), P in total.

    Returns:
        float (N, C), 0 for an empty bag, and int64 (N, C), -1 for an empty bag.
    """
    maximum_mode = 2
    values, _, _, holder = torch.embedding_bag(
        rows.contiguous(), index, bag_starts(bag_sizes), mode=maximum_mode
    )
    return values, torch.where(bag_sizes[:, None] > 0, holder, -1)
