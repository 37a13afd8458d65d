"""Merging the detections of several views of an image, masks included."""

import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

# Dimensions of a mask (N, H, W) that a flip reverses.
_FLIPPED_DIMS = {'horizontal': (2,), 'vertical': (1,), 'diagonal': (1, 2)}


@MODELS.register_module()
class MaskTTAModel(DetTTAModel):
    """``DetTTAModel`` that keeps the masks.

    Every view is predicted in the coordinates of the original image. Boxes of all views compete
    in one class-wise NMS; a surviving box brings the mask of the view it comes from.

    Args:
        tta_cfg: ``nms`` (as in ``batched_nms``) and ``max_per_img``, detections kept per image.
        **kwargs: As in ``DetTTAModel``.
    """

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """Merge the views of one image into its first sample."""
        views = [sample.pred_instances for sample in data_samples]
        if 'masks' not in views[0]:
            return super()._merge_single_sample(data_samples)
        metas = [sample.metainfo for sample in data_samples]
        boxes, scores = self.merge_aug_bboxes(
            [view.bboxes for view in views], [view.scores for view in views], metas
        )
        labels = torch.cat([view.labels for view in views])
        masks = [
            _unflip(view.masks, meta) for view, meta in zip(views, metas, strict=True) if len(view)
        ]
        merged = data_samples[0]
        if not masks:
            return merged
        kept_boxes, keep = batched_nms(boxes, scores, labels, self.tta_cfg['nms'])
        keep = keep[: self.tta_cfg['max_per_img']]
        kept_boxes = kept_boxes[: self.tta_cfg['max_per_img']]
        merged.pred_instances = InstanceData(
            bboxes=kept_boxes[:, :4],
            scores=kept_boxes[:, 4],
            labels=labels[keep],
            masks=torch.cat(masks)[keep],
        )
        return merged


def _unflip(masks: Tensor, meta: dict) -> Tensor:
    """Undo the flip of a view on its masks, bool (N, H, W) in the original image's size."""
    if not meta.get('flip'):
        return masks
    return masks.flip(_FLIPPED_DIMS[meta['flip_direction']])
