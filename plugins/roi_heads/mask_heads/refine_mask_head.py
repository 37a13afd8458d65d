"""RefineMask: high-quality masks from fine features, stage by stage."""

from typing import NamedTuple

from torch import Tensor, nn

from mmdet.registry import MODELS
from mmdet.structures.mask import BaseInstanceMasks
from plugins.roi_heads.mask_heads.refine_loss import semantic_loss
from plugins.roi_heads.mask_heads.refine_stage import RefineStage
from plugins.roi_heads.mask_heads.refine_targets import semantic_targets
from plugins.roi_heads.mask_heads.staged_mask_head import StagedMaskHead


class SeenSemantics(NamedTuple):
    """What the semantic branch says of a batch.

    Args:
        maps: What every stage reads, float (N, c, h, w) each.
        logits: Of an object being there, float32 (N, 1, h, w).
        scores: The same as probabilities.
    """

    maps: list[Tensor]
    logits: Tensor
    scores: Tensor


@MODELS.register_module()
class RefineMaskHead(StagedMaskHead):
    """Mask head of RefineMask (Zhang et al., CVPR 2021), in the form for LVIS.

    Parameters have the authors' names, so that their weights can be loaded.

    Args:
        num_classes: Foreground classes.
        semantic_loss_weight: Of the semantic branch, which learns where objects are.
        **kwargs: As in ``StagedMaskHead``.
    """

    num_scores = 2

    def __init__(self, num_classes: int, *, semantic_loss_weight: float = 1.0, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.semantic_loss_weight = semantic_loss_weight
        semantic_channels = self.widths[0]
        self.stages = nn.ModuleList(
            RefineStage(
                width,
                semantic_channels=semantic_channels,
                num_masks=num_masks,
                dilations=self.dilations,
                stride=self.semantic_stride,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
            )
            for width, num_masks in zip(self.widths[:-1], self.num_masks[:-1], strict=True)
        )
        self.final_instance_logits = nn.Conv2d(self.widths[-1], self.num_masks[-1], 1)
        self.semantic_logits = nn.Conv2d(semantic_channels, 1, 1)

    def predictors(self) -> list[nn.Conv2d]:
        """Return what makes the logits of every stage."""
        return [*(stage.instance_logits for stage in self.stages), self.final_instance_logits]

    def look(self, x: tuple[Tensor, ...]) -> SeenSemantics:
        """Run the semantic branch, see ``SeesImages``."""
        features = self.semantic_features(x)
        logits = self.semantic_logits(features).float()
        maps = [stage.look(features) for stage in self.stages]
        return SeenSemantics(maps, logits, logits.sigmoid())

    def refine(self, stage: int, features: Tensor, logits: Tensor, rois: Tensor) -> Tensor:
        """Compute the features of the stage after ``stage``, see ``RefineStage``."""
        seen = self.seen
        return self.stages[stage](features, logits, seen.maps[stage], seen.scores, rois)

    def image_losses(self, masks: list[BaseInstanceMasks]) -> dict[str, Tensor]:
        """Compute the semantic loss from the objects of every image."""
        logits = self.seen.logits
        targets = semantic_targets(
            masks, tuple(logits.shape[-2:]), self.semantic_stride, logits.device
        )
        loss = self.semantic_loss_weight * semantic_loss(logits, targets)
        return dict(loss_mask_semantic=loss)
