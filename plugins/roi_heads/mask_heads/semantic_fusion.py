"""Parts of the stages of RefineMask: RoIs cut out of image maps, branches that look far."""

import functools
import operator

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import roi_align
from torch import Tensor, nn


def pool_rois(maps: Tensor, rois: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Average image maps over the bins of RoIs (RoIAlign).

    Args:
        maps: Float (N, C, h, w).
        rois: Float (R, 5), image index and x1, y1, x2, y2 in network pixels.
        size: Bins, height and width.
        stride: Network pixels per pixel of the maps.

    Returns:
        Like ``maps``, (R, C, *size); boxes are float32 even if the maps are not.
    """
    pooled = roi_align(maps.float(), rois.float(), size, 1 / stride, 0, 'avg', True)
    return pooled.to(maps.dtype)


def sample_rois(maps: Tensor, rois: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Read image maps at the centres of the bins of RoIs; arguments as in ``pool_rois``.

    Outside the maps there are zeros, into which their borders fade.
    """
    # RoIAlign extends the border instead: with a frame of zeros that is the same.
    framed = F.pad(maps.float(), (1, 1, 1, 1))
    moved = torch.cat([rois[:, :1], rois[:, 1:] + stride], dim=1).float()
    return roi_align(framed, moved, size, 1 / stride, 1, 'avg', True).to(maps.dtype)


class MultiBranchFusion(nn.Module):
    """Convolutions of several dilations side by side (RefineMask, figure 4).

    Args:
        channels: Of the input and the output.
        dilations: Of the 3 x 3 convolutions.
        with_average: Whether the average over the map is a further branch.
        conv_cfg: Of the 3 x 3 convolutions.
        norm_cfg: Of what follows them, if anything.
    """

    def __init__(
        self,
        channels: int,
        dilations: tuple[int, ...],
        *,
        with_average: bool = False,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.with_average = with_average
        self._names = [f'dilation_conv_{number}' for number in range(1, len(dilations) + 1)]
        for name, dilation in zip(self._names, dilations, strict=True):
            branch = ConvModule(
                channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                conv_cfg=conv_cfg,
                norm_cfg=norm_cfg,
            )
            self.add_module(name, branch)
        self.merge_conv = ConvModule(channels, channels, 1, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """Fuse features, float (R, C, S, S); there is no activation at the end."""
        fused = functools.reduce(operator.add, (getattr(self, name)(x) for name in self._names))
        if self.with_average:
            fused = fused + x.mean((2, 3), keepdim=True)
        return self.merge_conv(fused)
