"""A cascade whose stages come from one box-head dict."""

from collections.abc import Iterator

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from plugins.roi_heads.label_masks import label_loss_only
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_testing import UniformTesting
from plugins.roi_heads.uniform_training import UniformTraining


@MODELS.register_module()
class UniformCascadeRoIHead(UniformTraining, UniformTesting, CascadeRoIHead):
    """``CascadeRoIHead`` (Cai & Vasconcelos 2018) with one address per part.

    Stock repeats the whole box head three times in every config that changes its loss. Here
    ``bbox_head``, ``mask_head`` and ``train_cfg`` are one dict each, in which a key ``stage_x``
    lists what differs between stages; lists of dicts are still accepted.

    Args:
        num_stages: Number of stages.
        bbox_head: Config of the box heads.
        mask_head: Config of the mask heads, or None.
        last_mask_head: Replaces the mask head of the last stage.
        train_cfg: Assigner, sampler and so on of the stages.
        **kwargs: As in ``CascadeRoIHead``.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        bbox_head: dict | list,
        mask_head: dict | list | None = None,
        last_mask_head: dict | None = None,
        train_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        mask_heads = expand_stages(mask_head, num_stages, 'roi_head.mask_head')
        mask_heads = place_last(mask_heads, last_mask_head)
        if train_cfg is not None:
            train_cfg = expand_stages(train_cfg, num_stages, 'train_cfg.rcnn')
        super().__init__(
            num_stages=num_stages,
            bbox_head=expand_stages(bbox_head, num_stages, 'roi_head.bbox_head'),
            mask_head=None if mask_heads[-1] is None else mask_heads,
            train_cfg=train_cfg,
            **kwargs,
        )

    def mask_loss(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        **kwargs,
    ) -> dict:
        """Compute the mask loss as stock does, from the maps of the labels alone if possible."""
        with label_loss_only(self.mask_head[stage], sampling_results) as results:
            return super().mask_loss(stage, x, results, batch_gt_instances, **kwargs)

    def _mask_logits(self, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[Tensor]:
        for stage in range(self.num_stages):
            yield self._mask_forward(stage, x, rois)['mask_preds']
