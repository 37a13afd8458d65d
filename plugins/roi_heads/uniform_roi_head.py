"""The RoI head of Mask R-CNN under the addresses of a cascade."""

from collections.abc import Iterator

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox2roi
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
        found = self._mask_forward(x, bbox2roi([result.pos_priors for result in sampling_results]))
        loss = self.mask_head.loss_and_target(
            found['mask_preds'], sampling_results, batch_gt_instances, self.train_cfg
        )
        return {**found, **loss}


@MODELS.register_module()
class UniformRoIHead(UniformTraining, UniformTesting, _KeepsMaskTargets):
    """``StandardRoIHead`` that a config addresses like a cascade of one stage.

    A fragment written for a cascade (a loss, a classifier, a ``last_mask_head``) means the same
    here, so the same lines work on Mask R-CNN and on HTC.

    Args:
        bbox_head: Config of the box head; ``stage_...`` keys are lists of length one.
        mask_head: Config of the mask head, or None.
        last_mask_head: Replaces ``mask_head``: the only stage is also the last. ``num_classes`` is
            the box head's unless it is given.
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

    def _stage_masks(self, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        found = self._mask_forward(x, rois)
        yield label_logits(self.mask_head, found['mask_preds']), found['mask_feats']
