"""HTC-Lite: a cascade of boxes, one mask head at its end, and the context of the image."""

import torch
from mmengine.config import ConfigDict
from mmengine.model import ModuleList
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi
from plugins.errors import UserError
from plugins.roi_heads.uniform_cascade_roi_head import UniformCascadeRoIHead

# What every stage of a cascade says when it is asked for the mask head: there is only the last.
LAST = -1


@MODELS.register_module()
class UniformHTCLiteRoIHead(UniformCascadeRoIHead):
    """The RoI head of HTC-Lite (MMDet team 2020, section 1.2).

    Of Hybrid Task Cascade it keeps the cascade of boxes. The masks are the last stage's alone,
    learned from the RoIs that this stage was given, so no information passes between mask heads;
    and the semantic branch, which needs stuff labels, becomes a global context encoder,
    ``context_head`` (see ``AddsImageContext``).

    Args:
        mask_head: Config of the one mask head.
        last_mask_head: Replaces it, as in every RoI head.
        mask_loss_weight: Of the losses of the mask branch. The report states none; by default the
            sum of the stages' weights, as in SCNet (Vu et al. 2021): the one head stands for all.
        **kwargs: As in ``UniformCascadeRoIHead``.

    Raises:
        UserError: The last stage weighs nothing.
    """

    def __init__(self, *, mask_loss_weight: float | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        if self.stage_loss_weights[-1] == 0:
            raise UserError(
                'roi_head.stage_loss_weights ends with 0, but the masks learn in the last stage: '
                'give it a weight above 0'
            )
        if mask_loss_weight is None:
            mask_loss_weight = sum(self.stage_loss_weights)
        self.mask_loss_weight = mask_loss_weight

    def init_mask_head(
        self, mask_roi_extractor: dict | list | None, mask_head: list[ConfigDict]
    ) -> None:
        """Build the mask head of the last stage and its extractor alone."""
        self.mask_head = ModuleList([MODELS.build(mask_head[LAST])])
        self.share_roi_extractor = mask_roi_extractor is None
        if self.share_roi_extractor:
            self.mask_roi_extractor = self.bbox_roi_extractor
            return
        if isinstance(mask_roi_extractor, list):
            mask_roi_extractor = mask_roi_extractor[LAST]
        self.mask_roi_extractor = ModuleList([MODELS.build(mask_roi_extractor)])

    def mask_loss(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
    ) -> dict:
        """Compute the mask loss in the last stage, and nothing in the others."""
        if stage < self.num_stages - 1:
            return dict(loss_mask={})
        found = super().mask_loss(LAST, x, sampling_results, batch_gt_instances)
        # The cascade will multiply by the weight of the stage.
        factor = self.mask_loss_weight / self.stage_loss_weights[stage]
        losses = found['loss_mask']
        weighted = {k: v * factor if 'loss' in k else v for k, v in losses.items()}
        return {**found, 'loss_mask': weighted}

    def forward(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> tuple:
        """Compute what stock does, where operations are counted, with the one mask head."""
        x = self.with_context(x)
        boxes = [proposals.bboxes for proposals in rpn_results_list]
        counts = tuple(map(len, boxes))
        metas = [sample.metainfo for sample in batch_data_samples]
        rois, *outputs = self._refine_roi(x, bbox2roi(boxes), metas, counts)
        if self.with_mask:
            logits = self._mask_forward(LAST, x, torch.cat(rois))['mask_preds']
            outputs.append(logits.sigmoid().split(counts))
        return tuple(outputs)

    def _merged_stages(self) -> list[int]:
        return [LAST]
