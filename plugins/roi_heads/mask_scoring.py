"""Mask scoring: how good a mask is, told by the last stage of any RoI head."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.roi_heads.label_masks import pick_label
from plugins.roi_heads.mask_iou_head import LabelMaskIoUHead
from plugins.roi_heads.shown_images import label_logits
from plugins.roi_heads.stages import stages_of, with_num_classes


class ScoresMasks:
    """Put before a RoI head of mmdet among the bases: ``mask_iou_head`` rates its masks.

    Mask Scoring R-CNN (Huang et al. 2019) for any number of stages and any mask head: the head
    sees what the last stage's mask head sees, and that stage's mask. In a test ``mask_scores`` is
    the box's score times the predicted IoU of the mask; boxes and ``scores`` stay as they are, and
    nothing is suppressed again. Stock rates one stage with class-wise masks of 28 x 28, and puts
    the result into ``scores``.

    Args:
        mask_iou_head: Config of a ``LabelMaskIoUHead``, or None. ``num_classes`` is the
            box head's.
        **kwargs: As in the RoI head.

    Raises:
        UserError: There are no masks to rate, or the head is mmdet's ``MaskIoUHead``.
    """

    def __init__(self, *args, mask_iou_head: dict | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mask_iou_head = None
        if mask_iou_head is None:
            return
        if not self.with_mask:
            raise UserError('roi_head.mask_iou_head needs roi_head.mask_head, whose masks it rates')
        num_classes = stages_of(self.bbox_head)[-1].num_classes
        head = MODELS.build(with_num_classes(mask_iou_head, num_classes, 'roi_head.mask_iou_head'))
        if not isinstance(head, LabelMaskIoUHead):
            raise UserError(
                f'roi_head.mask_iou_head.type is {type(head).__name__}, which cannot rate masks '
                'of every mask head; set LabelMaskIoUHead, which has the same options and weights'
            )
        self.mask_iou_head = head

    def _learn_to_score(
        self,
        found: dict,
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
    ) -> None:
        """Add the loss of mask scoring to that of the last stage's masks.

        Args:
            found: Result of the last stage's mask loss: ``loss_mask``, to which the new loss is
                added, ``mask_preds``, ``mask_targets`` and ``mask_feats``; only ``loss_mask`` where
                nothing was computed because nothing is to be learned.
            sampling_results: The RoIs of every image.
            batch_gt_instances: The objects of every image.
        """
        if self.mask_iou_head is None or 'mask_preds' not in found:
            return
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        # The masks are what is rated: this loss is not theirs.
        prediction = label_logits(stages_of(self.mask_head)[-1], found['mask_preds'])
        logits = pick_label(prediction, labels).detach()
        ious = self.mask_iou_head(found['mask_feats'], logits)
        loss = self.mask_iou_head.loss_and_target(
            ious, logits, found['mask_targets'], sampling_results, batch_gt_instances
        )
        found['loss_mask'].update(loss)

    def _rate_masks(self, feats: Tensor, logits: Tensor, labels: Tensor) -> Tensor | None:
        """Predict the IoU of masks, float (R,) in [0, 1], or None without a head for it.

        Args:
            feats: What the last stage's mask head saw, float (R, ch, S, S).
            logits: What it made of it for the labels, float (R, H, W).
            labels: Int64 (R,).
        """
        if self.mask_iou_head is None:
            return None
        return self.mask_iou_head.rate(self.mask_iou_head(feats, logits), labels)
