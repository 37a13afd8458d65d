"""Hybrid Task Cascade whose stages come from one dict per part."""

from collections.abc import Iterator

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.layers import adaptive_avg_pool2d
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.uniform_cascade_roi_head import UniformCascadeRoIHead

MASK_MERGES = ('mean', 'last')


@MODELS.register_module()
class UniformHTCRoIHead(UniformCascadeRoIHead, HybridTaskCascadeRoIHead):
    """``HybridTaskCascadeRoIHead`` (Chen et al. 2019) with the addresses of the cascade.

    What a config says of ``bbox_head``, ``mask_head``, ``last_mask_head`` and ``train_cfg`` means
    the same as in ``UniformCascadeRoIHead``. Stock's test takes the last stage's mask alone, and
    fails without ``mask_info_flow``; here, as in the paper, the stages' masks are averaged.

    Args:
        mask_merge: ``mean`` of the stages' mask probabilities, or ``last`` for the last stage
            alone. Default: ``last`` with a ``last_mask_head`` (its masks may have another size),
            else ``mean``.
        last_mask_head: Replaces the mask head of the last stage.
        **kwargs: As in ``UniformCascadeRoIHead`` and ``HybridTaskCascadeRoIHead``.

    Raises:
        UserError: ``mask_merge`` is neither.
    """

    def __init__(
        self, *, mask_merge: str | None = None, last_mask_head: dict | None = None, **kwargs
    ) -> None:
        if mask_merge is None:
            mask_merge = 'mean' if last_mask_head is None else 'last'
        if mask_merge not in MASK_MERGES:
            raise UserError(f'roi_head.mask_merge is {mask_merge!r}; it can be {MASK_MERGES}')
        super().__init__(last_mask_head=last_mask_head, **kwargs)
        self.mask_merge = mask_merge

    def _mask_forward(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        rois: Tensor,
        semantic_feat: Tensor | None = None,
        training: bool = True,
    ) -> dict[str, Tensor | list[Tensor]]:
        """Compute mask logits: of one stage in training, of the stages to merge in a test.

        Args:
            stage: The stage to train.
            x: Feature pyramid.
            rois: Float (R, 5), image index and box in network pixels.
            semantic_feat: Output of the semantic branch, if the model has one.
            training: Whether it is a training step.

        Returns:
            ``mask_preds``: float (R, C, H, W) logits, or a list of them.
        """
        if training:
            return super()._mask_forward(stage, x, rois, semantic_feat, training)
        return dict(mask_preds=list(self._mask_logits(x, rois, semantic_feat)))

    def _mask_logits(
        self, x: tuple[Tensor, ...], rois: Tensor, semantic_feat: Tensor | None
    ) -> Iterator[Tensor]:
        """Run the heads one after the other on the same RoI features."""
        feats = self._mask_feats(x, rois, semantic_feat)
        last_feat = None
        for stage, head in enumerate(self.mask_head):
            if self.mask_merge == 'mean' or stage == self.num_stages - 1:
                logits, feat = head(feats, last_feat)
                yield logits
            elif self.mask_info_flow:
                feat = head(feats, last_feat, return_logits=False)
            last_feat = feat if self.mask_info_flow else None

    def _mask_feats(
        self, x: tuple[Tensor, ...], rois: Tensor, semantic_feat: Tensor | None
    ) -> Tensor:
        # The stages share the extractor's settings, and RoIAlign has no weights.
        extractor = self.mask_roi_extractor[-1]
        feats = extractor(x[: extractor.num_inputs], rois)
        if self.with_semantic and 'mask' in self.semantic_fusion:
            semantic = self.semantic_roi_extractor([semantic_feat], rois)
            feats = feats + adaptive_avg_pool2d(semantic, feats.shape[-2:])
        return feats

    def mask_maps(
        self,
        x: tuple[Tensor, ...],
        boxes: list[Tensor],
        labels: list[Tensor],
        semantic_feat: Tensor | None = None,
    ) -> list[Tensor]:
        """Predict the mask probabilities of boxes, see ``PredictsMaskMaps``.

        Args:
            x: Feature pyramid of the batch.
            boxes: Of every image, float (n_i, 4) in pixels of the network's input.
            labels: Of every image, int64 (n_i,).
            semantic_feat: Output of the semantic branch; computed here if it is needed and None.

        Returns:
            Of every image, float (n_i, S, S).
        """
        if self.with_semantic and semantic_feat is None:
            _, semantic_feat = self.semantic_head(x)
        return super().mask_maps(x, boxes, labels, semantic_feat=semantic_feat)

    def predict_mask(
        self,
        x: tuple[Tensor, ...],
        semantic_heat: Tensor | None,
        batch_img_metas: list[dict],
        results_list: list[InstanceData],
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Add masks to detections, see ``PredictsMaskMaps``; stock's order of arguments."""
        return super().predict_mask(
            x, batch_img_metas, results_list, rescale, semantic_feat=semantic_heat
        )
