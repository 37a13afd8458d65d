"""A stage of RefineMask: a mask, then features of twice the size that know it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.roi_heads.mask_heads.boundary_region import enlarge
from plugins.roi_heads.mask_heads.semantic_fusion import MultiBranchFusion, pool_rois


class RefineStage(nn.Module):
    """Semantic fusion module (RefineMask, section 3.2), with the authors' names of parameters.

    Args:
        channels: Of the features, c; those of the next stage have c / 2.
        semantic_channels: Of the semantic features.
        num_masks: Classes with a mask of their own in this stage, or 1.
        dilations: See ``MultiBranchFusion``.
        stride: Network pixels per pixel of the semantic features.
        conv_cfg: See ``MultiBranchFusion``.
        norm_cfg: See ``MultiBranchFusion``.
    """

    def __init__(
        self,
        channels: int,
        *,
        semantic_channels: int,
        num_masks: int,
        dilations: tuple[int, ...],
        stride: int,
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.semantic_transform_in = nn.Conv2d(semantic_channels, channels, 1)
        self.semantic_transform_out = nn.Conv2d(channels, channels, 1)
        self.instance_logits = nn.Conv2d(channels, num_masks, 1)
        fusion = MultiBranchFusion(channels, dilations, conv_cfg=conv_cfg, norm_cfg=norm_cfg)
        self.fuse_conv = nn.ModuleList([nn.Conv2d(2 * channels + 2, channels, 1), fusion])
        self.fuse_transform_out = nn.Conv2d(channels, channels // 2 - 2, 1)

    def look(self, semantics: Tensor) -> Tensor:
        """Compute what the stage reads in the images, float (N, c, h, w)."""
        return F.relu(self.semantic_transform_in(semantics), inplace=True)

    def forward(
        self,
        features: Tensor,
        logits: Tensor,
        seen: Tensor,
        semantic_scores: Tensor,
        rois: Tensor,
    ) -> Tensor:
        """Compute the features of the next stage.

        Args:
            features: Float (R, c, S, S).
            logits: The masks that this stage makes of them, float32 (R, 1, S, S).
            seen: The images as ``look`` returned them.
            semantic_scores: Probability of an object, float32 (N, 1, h, w).
            rois: Float (R, 5), image index and box in network pixels.

        Returns:
            Float (R, c / 2, 2 S, 2 S).
        """
        size = features.shape[-2:]
        scores = [logits.sigmoid(), pool_rois(semantic_scores, rois, size, self.stride)]
        # What is large has no name of its own, so that it does not stay.
        fused = torch.cat(
            [
                features,
                self._own_semantics(seen, rois, size),
                *(score.to(features.dtype) for score in scores),
            ],
            dim=1,
        )
        for convolution in (*self.fuse_conv, self.fuse_transform_out):
            fused = F.relu(convolution(fused), inplace=True)
        fused = F.interpolate(fused, scale_factor=2, mode='bilinear', align_corners=False)
        grown = (enlarge(score, fused.shape[-2:]).to(fused.dtype) for score in scores)
        return torch.cat([fused, *grown], dim=1)

    def _own_semantics(self, seen: Tensor, rois: Tensor, size: torch.Size) -> Tensor:
        pooled = pool_rois(seen, rois, size, self.stride)
        return F.relu(self.semantic_transform_out(pooled), inplace=True)
