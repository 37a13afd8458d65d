"""The RoI head of Mask R-CNN under the addresses of a cascade."""

from collections.abc import Iterator

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from plugins.roi_heads.label_masks import label_loss_only
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_testing import UniformTesting
from plugins.roi_heads.uniform_training import UniformTraining


@MODELS.register_module()
class UniformRoIHead(UniformTraining, UniformTesting, StandardRoIHead):
    """``StandardRoIHead`` that a config addresses like a cascade of one stage.

    A fragment written for a cascade (a loss, a classifier, a ``last_mask_head``) means the same
    here, so the same lines work on Mask R-CNN and on HTC.

    Args:
        bbox_head: Config of the box head; ``stage_...`` keys are lists of length one.
        mask_head: Config of the mask head, or None.
        last_mask_head: Replaces ``mask_head``: the only stage is also the last.
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
        mask_heads = place_last(expand_stages(mask_head, 1, 'roi_head.mask_head'), last_mask_head)
        super().__init__(
            bbox_head=expand_stages(bbox_head, 1, 'roi_head.bbox_head')[0],
            mask_head=mask_heads[0],
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
        with label_loss_only(self.mask_head, sampling_results) as results:
            return super().mask_loss(x, results, bbox_feats, batch_gt_instances)

    def _mask_logits(self, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[Tensor]:
        yield self._mask_forward(x, rois)['mask_preds']
