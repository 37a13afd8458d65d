"""Merging the detections of several views of an image, masks included."""

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
        found = [self._in_original_image(one) for one in data_samples if len(one.pred_instances)]
        candidates = InstanceData.cat(found or views[:1])
        merged = data_samples[0]
        if len(candidates):
            kept_boxes, keep = batched_nms(
                candidates.bboxes, candidates.scores, candidates.labels, self.tta_cfg['nms']
            )
            limit = self.tta_cfg['max_per_img']
            candidates = candidates[keep[:limit]]
            candidates.scores = kept_boxes[:limit, 4]  # Soft-NMS lowers them
        merged.pred_instances = candidates
        return merged

    def _in_original_image(self, sample: DetDataSample) -> InstanceData:
        """Return a view's detections with the flip undone; further fields stay as they are."""
        view, meta = sample.pred_instances, sample.metainfo
        boxes, _ = self.merge_aug_bboxes([view.bboxes], [view.scores], [meta])
        fields = dict(view.items())
        return InstanceData(**{**fields, 'bboxes': boxes, 'masks': _unflip(view.masks, meta)})


def _unflip(masks: Tensor, meta: dict) -> Tensor:
    """Undo the flip of a view on its masks, bool (N, H, W) in the original image's size."""
    if not meta.get('flip'):
        return masks
    return masks.flip(_FLIPPED_DIMS[meta['flip_direction']])
