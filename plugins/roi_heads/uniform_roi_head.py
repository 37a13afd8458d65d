"""The RoI head of Mask R-CNN under the addresses of a cascade."""

from collections.abc import Iterator

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
from plugins.roi_heads.image_context import AddsImageContext
from plugins.roi_heads.label_masks import label_loss_only
from plugins.roi_heads.shown_images import label_logits, positives_shown
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_testing import UniformTesting
from plugins.roi_heads.uniform_training import UniformTraining


class _KeepsMaskTargets(StandardRoIHead):
    """``StandardRoIHead`` that returns the mask targets, too, as the cascade does."""

    def mask_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        bbox_feats: Tensor,
        batch_gt_instances: list[InstanceData],
    ) -> dict:
        if self.share_roi_extractor:
            is_positive = torch.cat([_is_positive(result) for result in sampling_results])
            found = self._mask_forward(x, pos_inds=is_positive, bbox_feats=bbox_feats)
        else:
            rois = bbox2roi([result.pos_priors for result in sampling_results])
            found = self._mask_forward(x, rois)
        loss = self.mask_head.loss_and_target(
            found['mask_preds'], sampling_results, batch_gt_instances, self.train_cfg
        )
        return {**found, **loss}


def _is_positive(result: SamplingResult) -> Tensor:
    """Return bool (n,) of the sampled RoIs of an image; the positive ones come first."""
    priors = result.priors
    return torch.arange(len(priors), device=priors.device) < len(result.pos_priors)


@MODELS.register_module()
class UniformRoIHead(AddsImageContext, UniformTraining, UniformTesting, _KeepsMaskTargets):
    """``StandardRoIHead`` that a config addresses like a cascade of one stage.

    A fragment written for a cascade (a loss, a classifier, a ``last_mask_head``) means the same
    here, so the same lines work on Mask R-CNN and on HTC.

    Args:
        bbox_head: Config of the box head; ``stage_...`` keys are lists of length one.
        mask_head: Config of the mask head, or None.
        last_mask_head: Replaces ``mask_head``: the only stage is also the last. ``num_classes`` is
            the box head's and need not be said.
        train_cfg: One dict, or a list of one.
        **kwargs: As in ``StandardRoIHead``.
    """

    def __init__(
        self,
        *,
        bbox_head: dict | list,
        mask_head: dict | list | None = None,
        last_mask_head: dict | None = None,
        train_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        (box_head,) = expand_stages(bbox_head, 1, 'roi_head.bbox_head')
        (mask_head,) = place_last(
            expand_stages(mask_head, 1, 'roi_head.mask_head'),
            last_mask_head,
            num_classes=box_head.num_classes,
        )
        super().__init__(
            bbox_head=box_head,
            mask_head=mask_head,
            train_cfg=expand_stages(train_cfg, 1, 'train_cfg.rcnn')[0],
            **kwargs,
        )

    def mask_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        bbox_feats: Tensor,
        batch_gt_instances: list[InstanceData],
    ) -> dict:
        """Compute the mask loss as stock does, from the maps of the labels alone if possible."""
        head = self.mask_head
        with (
            label_loss_only(head, sampling_results) as results,
            positives_shown(head, x, sampling_results),
        ):
            found = super().mask_loss(x, results, bbox_feats, batch_gt_instances)
        self._learn_to_score(found, sampling_results, batch_gt_instances)
        return found

    def _bbox_forward(self, x: tuple[Tensor, ...], rois: Tensor) -> dict:
        """Compute what stock does, from features that know of their image."""
        feats = self._roi_feats(self.bbox_roi_extractor, x, rois)
        return self._rate_boxes(self.bbox_head, feats, x, rois)

    def _mask_forward(
        self,
        x: tuple[Tensor, ...],
        rois: Tensor | None = None,
        pos_inds: Tensor | None = None,
        bbox_feats: Tensor | None = None,
    ) -> dict:
        """Compute what stock does, from features that know of their image.

        Args:
            x: Feature pyramid.
            rois: Float (R, 5), image index and box in network pixels; None to take features of
                the box branch.
            pos_inds: Of the features of the box branch, those to take.
            bbox_feats: Features of the box branch, float (R', C, S, S), with context already.
        """
        if rois is None:
            feats = bbox_feats[pos_inds]
        else:
            feats = self._add_context(self._roi_feats(self.mask_roi_extractor, x, rois), x, rois)
        return dict(mask_preds=self.mask_head(feats), mask_feats=feats)

    def _roi_feats(self, extractor: nn.Module, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        feats = extractor(x[: extractor.num_inputs], rois)
        return self.shared_head(feats) if self.with_shared_head else feats

    def _stage_masks(self, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        found = self._mask_forward(x, rois)
        yield label_logits(self.mask_head, found['mask_preds']), found['mask_feats']
