"""A stage of the faster form of RefineMask."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.roi_heads.mask_heads.semantic_fusion import MultiBranchFusion, sample_rois


class SimpleRefineStage(nn.Module):
    """Semantic fusion without semantic masks; parameters have the authors' names.

    Args:
        channels: Of the features, c; those of the next stage have c / 2.
        semantic_channels: Of the semantic features.
        dilations: See ``MultiBranchFusion``.
        stride: Network pixels per pixel of the semantic features.
        with_upsample: Whether the features of the next stage have twice the size.
        conv_cfg: See ``MultiBranchFusion``.
        norm_cfg: See ``MultiBranchFusion``.
    """

    def __init__(
        self,
        channels: int,
        *,
        semantic_channels: int,
        dilations: tuple[int, ...],
        stride: int,
        with_upsample: bool,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.with_upsample = with_upsample
        self.semantic_transform_in = nn.Conv2d(semantic_channels, channels, 1)
        fusion = MultiBranchFusion(
            channels, dilations, with_average=True, conv_cfg=conv_cfg, norm_cfg=norm_cfg
        )
        self.fuse_conv = nn.ModuleList([nn.Conv2d(2 * channels + 1, channels, 1), fusion])
        self.fuse_transform_out = nn.Conv2d(channels, channels // 2 - 1, 1)

    def look(self, semantics: Tensor) -> Tensor:
        """Compute what the stage reads in the images, float (N, c, h, w)."""
        return F.relu(self.semantic_transform_in(semantics), inplace=True)

    def forward(self, features: Tensor, logits: Tensor, seen: Tensor, rois: Tensor) -> Tensor:
        """Compute the features of the next stage; arguments as in ``RefineStage``.

        Returns:
            Float (R, c / 2, 2 S, 2 S), or (R, c / 2, S, S) without upsampling.
        """
        score = logits.sigmoid().to(features.dtype)
        # What is large has no name of its own, so that it does not stay.
        fused = torch.cat(
            [features, sample_rois(seen, rois, features.shape[-2:], self.stride), score], dim=1
        )
        for convolution in (*self.fuse_conv, self.fuse_transform_out):
            fused = F.relu(convolution(fused), inplace=True)
        fused = torch.cat([fused, score], dim=1)
        if not self.with_upsample:
            return fused
        return F.interpolate(fused, scale_factor=2, mode='bilinear', align_corners=False)
