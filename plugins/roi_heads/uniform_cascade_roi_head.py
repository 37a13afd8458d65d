"""A cascade whose stages come from one box-head dict."""

from collections.abc import Iterator, Sequence

from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.models.roi_heads import CascadeRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.image_context import AddsImageContext
from plugins.roi_heads.label_masks import label_loss_only
from plugins.roi_heads.mask_heads import SeesImages
from plugins.roi_heads.shown_images import label_logits, positives_shown
from plugins.roi_heads.stages import expand_stages, place_last
from plugins.roi_heads.uniform_testing import UniformTesting
from plugins.roi_heads.uniform_training import UniformTraining

MASK_MERGES = ('mean', 'last')


@MODELS.register_module()
class UniformCascadeRoIHead(AddsImageContext, UniformTraining, UniformTesting, CascadeRoIHead):
    """``CascadeRoIHead`` (Cai & Vasconcelos 2018) with one address per part.

    Stock repeats the whole box head three times in every config that changes its loss. Here
    ``bbox_head``, ``mask_head`` and ``train_cfg`` are one dict each, in which a key ``stage_x``
    lists what differs between stages; lists of dicts are still accepted.

    Args:
        num_stages: Number of stages.
        bbox_head: Config of the box heads.
        mask_head: Config of the mask heads, or None.
        last_mask_head: Replaces the mask head of the last stage. ``num_classes`` is the box head's
            and need not be said.
        mask_merge: ``mean`` of the stages' mask probabilities, or ``last`` for the last stage
            alone. Default: ``last`` with a ``last_mask_head`` (its masks may have another size),
            else ``mean``.
        train_cfg: Assigner, sampler and so on of the stages.
        **kwargs: As in ``CascadeRoIHead``.

    Raises:
        UserError: ``mask_merge`` is neither, or means to average masks of different sizes.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        bbox_head: dict | list,
        mask_head: dict | list | None = None,
        last_mask_head: dict | None = None,
        mask_merge: str | None = None,
        train_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        if mask_merge is None:
            mask_merge = 'mean' if last_mask_head is None else 'last'
        if mask_merge not in MASK_MERGES:
            raise UserError(f'roi_head.mask_merge is {mask_merge!r}; it can be {MASK_MERGES}')
        box_heads = expand_stages(bbox_head, num_stages, 'roi_head.bbox_head')
        mask_heads = place_last(
            expand_stages(mask_head, num_stages, 'roi_head.mask_head'),
            last_mask_head,
            num_classes=box_heads[-1].num_classes,
        )
        if train_cfg is not None:
            train_cfg = expand_stages(train_cfg, num_stages, 'train_cfg.rcnn')
        super().__init__(
            num_stages=num_stages,
            bbox_head=box_heads,
            mask_head=None if mask_heads[-1] is None else mask_heads,
            train_cfg=train_cfg,
            **kwargs,
        )
        self.mask_merge = mask_merge
        if mask_merge == 'mean' and self.with_mask:
            _check_sizes(self.mask_head)

    def mask_loss(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
        **kwargs,
    ) -> dict:
        """Compute the mask loss as stock does, from the maps of the labels alone if possible."""
        head = self.mask_head[stage]
        with (
            label_loss_only(head, sampling_results) as results,
            positives_shown(head, x, sampling_results),
        ):
            found = super().mask_loss(stage, x, results, batch_gt_instances, **kwargs)
        if head is self.mask_head[-1]:
            self._learn_to_score(found, sampling_results, batch_gt_instances)
        return found

    def _bbox_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor, **kwargs) -> dict:
        """Compute what stock does, from features that know of their image."""
        feats = self._box_feats(stage, x, rois, **kwargs)
        return self._rate_boxes(self.bbox_head[stage], feats, x, rois)

    def _box_feats(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        extractor = self.bbox_roi_extractor[stage]
        return extractor(x[: extractor.num_inputs], rois)

    def _mask_feats(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        extractor = self.mask_roi_extractor[stage]
        return self._add_context(extractor(x[: extractor.num_inputs], rois), x, rois)

    def _mask_forward(self, stage: int, x: tuple[Tensor, ...], rois: Tensor) -> dict:
        """Compute what stock does, and keep what the mask head saw as ``mask_feats``."""
        feats = self._mask_feats(stage, x, rois)
        return dict(mask_preds=self.mask_head[stage](feats), mask_feats=feats)

    def _stage_masks(self, x: tuple[Tensor, ...], rois: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for stage in self._merged_stages():
            found = self._mask_forward(stage, x, rois)
            yield label_logits(self.mask_head[stage], found['mask_preds']), found['mask_feats']

    def _merged_stages(self) -> Sequence[int]:
        """Return the stages whose masks a test asks for."""
        return range(0 if self.mask_merge == 'mean' else self.num_stages - 1, self.num_stages)


def _check_sizes(heads: Sequence[nn.Module]) -> None:
    """Raise if refined masks, which are larger than others, would be averaged with others."""
    if len({isinstance(head, SeesImages) for head in heads}) > 1:
        raise UserError(
            "roi_head.mask_merge is 'mean', but the stages' masks differ in size; set it to 'last'"
        )
