"""Hybrid Task Cascade whose stages come from one dict per part."""

import inspect
from collections.abc import Iterator

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.layers import adaptive_avg_pool2d
from mmdet.models.roi_heads import HybridTaskCascadeRoIHead
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.mask_maps import MaskMaps
from plugins.roi_heads.shown_images import label_logits
from plugins.roi_heads.uniform_cascade_roi_head import UniformCascadeRoIHead


@MODELS.register_module()
class UniformHTCRoIHead(UniformCascadeRoIHead, HybridTaskCascadeRoIHead):
    """``HybridTaskCascadeRoIHead`` (Chen et al. 2019) with the addresses of the cascade.

    What a config says of ``bbox_head``, ``mask_head``, ``last_mask_head``, ``mask_merge`` and
    ``train_cfg`` means the same as in ``UniformCascadeRoIHead``. Stock's test takes the last
    stage's mask alone, and fails without ``mask_info_flow``; here, as in the paper, the stages'
    masks are averaged unless ``mask_merge`` says otherwise.

    Args:
        num_stages: Number of stages.
        last_mask_head: Replaces the mask head of the last stage. Whether it listens to its
            predecessors (``with_conv_res``) follows from ``mask_info_flow`` unless it is given.
        mask_info_flow: Whether mask heads listen to the features of those before them.
        **kwargs: As in ``UniformCascadeRoIHead`` and ``HybridTaskCascadeRoIHead``.

    Raises:
        UserError: ``last_mask_head`` is one that cannot listen.
    """

    def __init__(
        self,
        *,
        num_stages: int,
        last_mask_head: dict | None = None,
        mask_info_flow: bool = True,
        **kwargs,
    ) -> None:
        if last_mask_head is not None:
            _check_type(last_mask_head)
            listens = mask_info_flow and num_stages > 1
            last_mask_head = {'with_conv_res': listens, **last_mask_head}
        super().__init__(
            num_stages=num_stages,
            last_mask_head=last_mask_head,
            mask_info_flow=mask_info_flow,
            **kwargs,
        )

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
            ``mask_preds``: float (R, C, H, W) logits, or a list of them; in training also
            ``mask_feats``, what the head saw.
        """
        if not training:
            stages = self._stage_masks(x, rois, semantic_feat)
            return dict(mask_preds=[logits for logits, _ in stages])
        feats = self._mask_feats(stage, x, rois, semantic_feat)
        last_feat = None
        if self.mask_info_flow:
            for head in self.mask_head[:stage]:
                last_feat = head(feats, last_feat, return_logits=False)
        logits = self.mask_head[stage](feats, last_feat, return_feat=False)
        return dict(mask_preds=logits, mask_feats=feats)

    def _stage_masks(
        self, x: tuple[Tensor, ...], rois: Tensor, semantic_feat: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Run the heads one after the other on the same RoI features."""
        # The stages share the extractor's settings, and RoIAlign has no weights.
        feats = self._mask_feats(-1, x, rois, semantic_feat)
        last_feat = None
        for stage, head in enumerate(self.mask_head):
            is_last = stage == self.num_stages - 1
            if stage in self._merged_stages():
                seen = head(feats, last_feat, return_feat=not is_last)
                logits, feat = (seen, None) if is_last else seen
                yield label_logits(head, logits), feats
            elif self.mask_info_flow:
                feat = head(feats, last_feat, return_logits=False)
            last_feat = feat if self.mask_info_flow else None

    def _mask_feats(
        self, stage: int, x: tuple[Tensor, ...], rois: Tensor, semantic_feat: Tensor | None
    ) -> Tensor:
        feats = super()._mask_feats(stage, x, rois)
        return self._fuse_semantics('mask', feats, rois, semantic_feat)

    def _box_feats(
        self,
        stage: int,
        x: tuple[Tensor, ...],
        rois: Tensor,
        semantic_feat: Tensor | None = None,
    ) -> Tensor:
        feats = super()._box_feats(stage, x, rois)
        return self._fuse_semantics('bbox', feats, rois, semantic_feat)

    def _fuse_semantics(
        self, branch: str, feats: Tensor, rois: Tensor, semantic_feat: Tensor | None
    ) -> Tensor:
        if not self.with_semantic or branch not in self.semantic_fusion:
            return feats
        semantic = self.semantic_roi_extractor([semantic_feat], rois)
        return feats + adaptive_avg_pool2d(semantic, feats.shape[-2:])

    def mask_maps(
        self,
        x: tuple[Tensor, ...],
        boxes: list[Tensor],
        labels: list[Tensor],
        semantic_feat: Tensor | None = None,
    ) -> list[MaskMaps]:
        """Predict the mask probabilities of boxes, see ``PredictsMaskMaps``.

        Args:
            x: Feature pyramid of the batch.
            boxes: Of every image, float (n_i, 4) in pixels of the network's input.
            labels: Of every image, int64 (n_i,).
            semantic_feat: Output of the semantic branch; computed here if it is needed and None.

        Returns:
            The masks of every image.
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


def _check_type(mask_head: dict) -> None:
    kind = MODELS.get(mask_head['type'])
    if kind is not None and not any(_takes_features(cls) for cls in kind.__mro__):
        raise UserError(
            f'roi_head.last_mask_head.type is {mask_head["type"]}, which has no with_conv_res and '
            'so cannot listen to the mask heads before it; HTC takes HTCMaskHead, RefineMaskHead '
            'or SimpleRefineMaskHead'
        )


def _takes_features(cls: type) -> bool:
    return 'with_conv_res' in inspect.signature(cls.__init__).parameters
