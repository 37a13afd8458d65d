"""What the forms of RefineMask have in common."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.mask import BaseInstanceMasks
from plugins.errors import UserError
from plugins.layers import label_channel
from plugins.roi_heads.mask_heads.refine_loss import stage_losses
from plugins.roi_heads.mask_heads.refine_merge import merge_refined
from plugins.roi_heads.mask_heads.refine_targets import light_masks, stage_targets
from plugins.roi_heads.mask_heads.sees_images import SeesImages
from plugins.roi_heads.mask_heads.stage_options import check_stages, stage_widths
from plugins.roi_heads.pyramid_level import pyramid_level


class StagedMaskHead(SeesImages, BaseModule):
    """A mask head that makes masks of several sizes, each from finer features than the last.

    Of a class-wise stage the label's map alone is computed, in training and in a test. It has to be
    shown the images, see ``SeesImages``; so our RoI heads do.

    Args:
        num_classes: Foreground classes.
        in_channels: Of the RoI features.
        conv_out_channels: Of the first stage and of the semantic branch; every further stage has
            half as many.
        num_convs: 3 x 3 convolutions before the first stage.
        num_semantic_convs: 3 x 3 convolutions of the semantic branch.
        semantic_in_channels: Of the level of the pyramid that the semantic branch reads.
        semantic_level: Number of that level.
        semantic_stride: Network pixels per pixel of that level.
        stage_sizes: Pixels a side of every stage's masks, each twice the one before. The RoI
            features have the first.
        class_wise_stages: Whether a stage has a mask for every class, or one for all.
        dilations: Of the convolutions that fuse features.
        boundary_width: Of the region that the later stages learn, see ``boundary_band``.
        start_stage: The last stage that learns all pixels, and the first of the merged mask.
        stage_loss_weights: Of every stage.
        conv_cfg: Of the 3 x 3 convolutions.
        norm_cfg: Of what follows them, if anything.
        with_conv_res: Whether the head listens to the features of the one before it (HTC).
        init_cfg: Initialisation, by default that of the authors (He et al., 2015).

    Raises:
        UserError: Sizes, widths or lists do not fit each other.
    """

    num_scores: int
    """Maps of probabilities among the features of every stage but the first."""
    # Merged masks are pasted as those of a class-agnostic head; no other part of it is needed.
    class_agnostic = True
    predict_by_feat = FCNMaskHead.predict_by_feat
    _predict_by_feat_single = FCNMaskHead._predict_by_feat_single

    def __init__(
        self,
        num_classes: int,
        *,
        in_channels: int = 256,
        conv_out_channels: int = 256,
        num_convs: int = 2,
        num_semantic_convs: int = 4,
        semantic_in_channels: int = 256,
        semantic_level: int = 0,
        semantic_stride: int = 4,
        stage_sizes: Sequence[int] = (14, 28, 56, 112),
        class_wise_stages: Sequence[bool] = (True, True, True, False),
        dilations: Sequence[int] = (1, 3, 5),
        boundary_width: int = 2,
        start_stage: int = 1,
        stage_loss_weights: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
        conv_cfg: dict | None = None,
        norm_cfg: dict | None = None,
        with_conv_res: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d'))
        check_stages(stage_sizes, start_stage, class_wise_stages, stage_loss_weights)
        self.num_classes = num_classes
        self.semantic_level = semantic_level
        self.semantic_stride = semantic_stride
        self.stage_sizes = tuple(stage_sizes)
        self.dilations = tuple(dilations)
        self.boundary_width = boundary_width
        self.start_stage = start_stage
        self.stage_loss_weights = tuple(stage_loss_weights)
        self.conv_cfg = conv_cfg
        self.norm_cfg = norm_cfg
        self.with_conv_res = with_conv_res
        self.widths = stage_widths(conv_out_channels, len(self.stage_sizes), self.num_scores)
        self.num_masks = [num_classes if wise else 1 for wise in class_wise_stages]
        if with_conv_res:
            self.conv_res = self._conv(in_channels, in_channels, 1)
        self.instance_convs = self._convs(num_convs, in_channels, conv_out_channels)
        self.semantic_convs = self._convs(
            num_semantic_convs, semantic_in_channels, conv_out_channels
        )

    def _convs(self, count: int, in_channels: int, out_channels: int) -> nn.ModuleList:
        if count < 1:
            raise UserError('mask_head.num_convs and num_semantic_convs must be 1 or more')
        inputs = [in_channels, *[out_channels] * (count - 1)]
        return nn.ModuleList(self._conv(channels, out_channels, 3) for channels in inputs)

    def _conv(self, in_channels: int, out_channels: int, side: int) -> ConvModule:
        return ConvModule(
            in_channels,
            out_channels,
            side,
            padding=side // 2,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
        )

    @abstractmethod
    def predictors(self) -> list[nn.Conv2d]:
        """Return what makes the logits of every stage."""

    @abstractmethod
    def refine(self, stage: int, features: Tensor, logits: Tensor, rois: Tensor) -> Tensor:
        """Compute the features of the stage after ``stage``."""

    def semantic_features(self, x: tuple[Tensor, ...]) -> Tensor:
        """Run the semantic branch on a feature pyramid: float (N, C, h, w)."""
        features = pyramid_level(x, self.semantic_level, 'mask_head.semantic_level')
        for convolution in self.semantic_convs:
            features = convolution(features)
        return features

    def forward(
        self,
        x: Tensor,
        res_feat: Tensor | None = None,
        return_logits: bool = True,
        return_feat: bool = False,
    ) -> Tensor | list:
        """Predict the masks of RoIs, each for the label that the head was shown.

        Args:
            x: RoI features, float (R, C, S, S), S being the size of the first stage.
            res_feat: What the mask head before returned as features, float (R, C, S, S).
            return_logits: Whether to return logits.
            return_feat: Whether to return features for the next mask head, (R, C, S, S).

        Returns:
            Logits of every stage, float32 (R, 1, S, S) each; features; or both in a list.

        Raises:
            UserError: Features do not have the size of the first stage, or there are some of a
                head before although ``with_conv_res`` is false.
        """
        if x.shape[-2:] != (self.stage_sizes[0],) * 2:
            raise UserError(
                f'roi_head.mask_roi_extractor makes features of {tuple(x.shape[-2:])}, but '
                f'mask_head.stage_sizes begins with {self.stage_sizes[0]}; these must be the same'
            )
        if res_feat is not None:
            if not self.with_conv_res:
                raise UserError('with roi_head.mask_info_flow set mask_head.with_conv_res=True')
            x = x + self.conv_res(res_feat)
        for convolution in self.instance_convs:
            x = convolution(x)
        outs = []
        if return_logits:
            outs.append(self._stage_logits(x))
        if return_feat:
            outs.append(x)
        return outs if len(outs) > 1 else outs[0]

    def _stage_logits(self, features: Tensor) -> list[Tensor]:
        if not len(features):
            return self._no_logits(features)
        rois, labels = self.seen_rois
        *predictors, last = self.predictors()
        logits = []
        for stage, predictor in enumerate(predictors):
            logits.append(_label_logits(predictor, features, labels))
            features = self.refine(stage, features, logits[-1], rois)
        return [*logits, self.last_logits(_label_logits(last, features, labels))]

    def last_logits(self, logits: Tensor) -> Tensor:
        """Give the logits of the last stage the size of its masks."""
        return logits

    def _no_logits(self, features: Tensor) -> list[Tensor]:
        """Return the logits of no RoIs, which need every gradient."""
        zero = sum((p.sum() * 0.0 for p in self.parameters()), features.sum() * 0.0).float()
        return [
            features.new_zeros(0, 1, s, s, dtype=torch.float32) + zero for s in self.stage_sizes
        ]

    def merge(self, stage_logits: list[Tensor]) -> Tensor:
        """Put the masks of all stages together.

        Args:
            stage_logits: As ``forward`` returned them.

        Returns:
            Float32 logits (R, 1, S, S) of the last stage's size.
        """
        return merge_refined(stage_logits, self.start_stage)

    def loss_and_target(
        self,
        mask_preds: list[Tensor],
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        rcnn_train_cfg: ConfigDict,
    ) -> dict:
        """Compute the losses.

        Args:
            mask_preds: Logits of every stage for the positive RoIs of all images.
            sampling_results: The RoIs of every image.
            batch_gt_instances: The objects of every image, with ``masks``.
            rcnn_train_cfg: Not used: the sizes of the stages are the head's own.

        Returns:
            ``loss_mask``, a dict of losses, and ``mask_targets`` of the last stage, float32
            (R, S, S), 0 or 1.
        """
        masks = [light_masks(instances.masks) for instances in batch_gt_instances]
        parts = [
            stage_targets(own, r.pos_priors, r.pos_assigned_gt_inds, self.stage_sizes)
            for own, r in zip(masks, sampling_results, strict=True)
        ]
        targets = [torch.cat(parts_of_stage) for parts_of_stage in zip(*parts, strict=True)]
        losses = stage_losses(
            mask_preds,
            targets,
            boundary_width=self.boundary_width,
            start_stage=self.start_stage,
        )
        total = sum(w * loss for w, loss in zip(self.stage_loss_weights, losses, strict=True))
        losses = dict(loss_mask=total, **self.image_losses(masks))
        return dict(loss_mask=losses, mask_targets=targets[-1])

    def image_losses(self, masks: list[BaseInstanceMasks]) -> dict[str, Tensor]:
        """Compute the losses that do not depend on RoIs, from the objects of every image."""
        return {}


def _label_logits(predictor: nn.Conv2d, features: Tensor, labels: Tensor) -> Tensor:
    """Return the logits of the labels, float32 (R, 1, S, S), and of no other class."""
    if predictor.out_channels == 1:
        return predictor(features).float()
    return label_channel(predictor, features, labels)[:, None].float()
