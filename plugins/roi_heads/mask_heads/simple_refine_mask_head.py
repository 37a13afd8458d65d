"""RefineMask in the form that its authors call faster and better."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmdet.registry import MODELS
from plugins.roi_heads.mask_heads.boundary_region import enlarge
from plugins.roi_heads.mask_heads.simple_refine_stage import SimpleRefineStage
from plugins.roi_heads.mask_heads.staged_mask_head import StagedMaskHead


@MODELS.register_module()
class SimpleRefineMaskHead(StagedMaskHead):
    """Mask head of RefineMask (Zhang et al., CVPR 2021) without semantic masks and their loss.

    The last stage makes its logits at the size of the one before and enlarges them. Parameters have
    the authors' names, so that their weights can be loaded.

    Args:
        num_classes: Foreground classes.
        pre_upsample_last_stage: Whether the last stage enlarges features instead of logits.
        stage_loss_weights: Of every stage.
        **kwargs: As in ``StagedMaskHead``.
    """

    num_scores = 1

    def __init__(
        self,
        num_classes: int,
        *,
        pre_upsample_last_stage: bool = False,
        stage_loss_weights: Sequence[float] = (0.5, 0.75, 0.75, 1.0),
        **kwargs,
    ) -> None:
        super().__init__(num_classes, stage_loss_weights=stage_loss_weights, **kwargs)
        self.pre_upsample_last_stage = pre_upsample_last_stage
        last = len(self.widths) - 2
        self.stages = nn.ModuleList(
            SimpleRefineStage(
                width,
                semantic_channels=self.widths[0],
                dilations=self.dilations,
                stride=self.semantic_stride,
                with_upsample=pre_upsample_last_stage or stage < last,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
            )
            for stage, width in enumerate(self.widths[:-1])
        )
        self.stage_instance_logits = nn.ModuleList(
            nn.Conv2d(width, num_masks, 1)
            for width, num_masks in zip(self.widths, self.num_masks, strict=True)
        )

    def predictors(self) -> list[nn.Conv2d]:
        """Return what makes the logits of every stage."""
        return list(self.stage_instance_logits)

    def look(self, x: tuple[Tensor, ...]) -> list[Tensor]:
        """Return what every stage reads in the images, float (N, c, h, w) each."""
        features = self.semantic_features(x)
        return [stage.look(features) for stage in self.stages]

    def refine(self, stage: int, features: Tensor, logits: Tensor, rois: Tensor) -> Tensor:
        """Compute the features of the stage after ``stage``, see ``SimpleRefineStage``."""
        return self.stages[stage](features, logits, self.seen[stage], rois)

    def last_logits(self, logits: Tensor) -> Tensor:
        """Give the logits of the last stage the size of its masks."""
        if self.pre_upsample_last_stage:
            return logits
        return enlarge(logits, (self.stage_sizes[-1],) * 2)
