"""Test-time augmentation of instance segmentation: boxes compete, masks are averaged in boxes."""

import copy

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, SampleList
from plugins.errors import UserError
from plugins.roi_heads.mask_maps import MaskMaps, PredictsMaskMaps, score_masks
from plugins.structures import EncodedMasks, paste_masks
from plugins.test_time.box_merging import average_ratings, keep_best, merge_proposals
from plugins.test_time.tta_options import TTAOptions
from plugins.test_time.two_stage_view import HeldFeatures, TwoStageView
from plugins.test_time.view_geometry import average_maps, check_view, flip_boxes, unflip_maps


@MODELS.register_module()
class MaskTTAModel(DetTTAModel):
    """``DetTTAModel`` with masks, whose memory is that of one view.

    **Two-stage detectors with our RoI heads** (Mask R-CNN, Cascade R-CNN, HTC). Views are seen one
    after another. Boxes first: the detections of all views compete in one exact class-wise NMS.
    Then every view predicts the mask maps of all surviving boxes, for their labels only; the maps
    are averaged over the views in the boxes and pasted once, which equals the average of the whole
    images' probabilities. With mask scoring every view predicts the masks' IoUs, too, and the
    merged scores times the average IoU are the ``mask_scores``.

    No more than one view's features are ever in memory. So those of all views but one are computed
    again for the masks: backbone and neck run 2 V - 1 times for V views. With ``keep_features``
    they run V times, and the features of V views are in memory.

    **All other detectors** (single-stage, query-based, stock RoI heads): the same NMS over the
    complete predictions of the views; a surviving box brings the mask, if there is one, of the view
    it comes from. All views' whole predictions are in memory until they are merged.

    Args:
        tta_cfg: Options, all of them optional:

            - ``boxes``: ``'nms'`` (default), a score is that of the best view; or ``'average'``,
              for our RoI heads only: all views move and rate the same proposals, and boxes and
              scores are averaged before the NMS (the behaviour of mmdet 2.x, Chen et al. 2019).
              Another V - 1 runs of backbone and neck.
            - ``nms``: as ``test_cfg.rcnn.nms``. Default ``dict(type='nms', iou_threshold=0.5)``.
            - ``max_per_img``: detections to keep of an image, -1 for all. Default: the detector's.
            - ``score_thr``: number, or list with one for each class: merged detections have to
              score above it. Default: none, with ``average`` the detector's.
            - ``keep_features``: see above. Default False.
        **kwargs: As in ``DetTTAModel``.

    Raises:
        UserError: An option is unknown or has a wrong value.
    """

    def __init__(self, tta_cfg: dict | None = None, **kwargs) -> None:
        super().__init__(tta_cfg=tta_cfg, **kwargs)
        self.options = TTAOptions.read(tta_cfg or {}, self.module)
        self.is_two_stage = isinstance(getattr(self.module, 'roi_head', None), PredictsMaskMaps)
        if self.options.averages_boxes and not self.is_two_stage:
            raise UserError(
                "tta_cfg.boxes='average' needs a RoI head of this repository; use 'nms'"
            )

    def test_step(self, data: dict) -> SampleList:
        """Predict a batch.

        Args:
            data: ``inputs`` and ``data_samples``, lists with one entry per view; a view is a list
                of images (as ``TestTimeAug`` and ``pseudo_collate`` make them).

        Returns:
            A sample per image; ``masks`` of ``pred_instances`` are ``EncodedMasks``.

        Raises:
            UserError: The views do not say how they were made.
        """
        for samples in data['data_samples']:
            for sample in samples:
                check_view(sample.metainfo)
        if not self.is_two_stage:
            return super().test_step(data)
        views = self._split(data)
        merged = self._average_boxes(views) if self.options.averages_boxes else self._detect(views)
        if self.module.with_mask:
            self._add_masks(merged, views)
        for sample, found in zip(views[0].samples, merged, strict=True):
            sample.pred_instances = found
        return views[0].samples

    def _split(self, data: dict) -> list[TwoStageView]:
        batches = [
            dict(inputs=inputs, data_samples=samples)
            for inputs, samples in zip(data['inputs'], data['data_samples'], strict=True)
        ]
        held = HeldFeatures(len(batches) if self.options.keep_features else 1)
        return [TwoStageView(self.module, batch, i, held) for i, batch in enumerate(batches)]

    def _detect(self, views: list[TwoStageView]) -> list[InstanceData]:
        """Let the detections of the views compete, image by image."""
        found = [view.detect() for view in views]
        return [keep_best(own, self.options) for own in zip(*found, strict=True)]

    def _average_boxes(self, views: list[TwoStageView]) -> list[InstanceData]:
        """Let all views rate the same boxes, and average what they say."""
        cfg = self.module.test_cfg.rpn
        found = [view.propose() for view in views]
        proposals = [merge_proposals(own, cfg) for own in zip(*found, strict=True)]
        ratings = [view.rate(proposals) for view in _at_hand_first(views)]
        return [average_ratings(own, self.options) for own in zip(*ratings, strict=True)]

    def _add_masks(self, merged: list[InstanceData], views: list[TwoStageView]) -> None:
        boxes, labels = [m.bboxes for m in merged], [m.labels for m in merged]
        counts = [len(own) for own in boxes]
        if any(counts):
            seen = average_maps(view.mask_maps(boxes, labels) for view in _at_hand_first(views))
        else:
            # No view needs to be looked at again.
            scored = self.module.roi_head.mask_iou_head is not None
            seen = MaskMaps.none(boxes[0], scored=scored)
        threshold = self.module.roi_head.test_cfg.mask_thr_binary
        for found, own, meta in zip(merged, seen.split(counts), views[0].metas, strict=True):
            height, width = meta['ori_shape'][:2]
            found.masks = paste_masks(own.maps, found.bboxes, height, width, threshold)
            score_masks(found, own.ious)

    def _merge_single_sample(self, data_samples: list[DetDataSample]) -> DetDataSample:
        """Merge complete predictions of the views of one image into its first sample."""
        found = [_in_original_image(sample) for sample in data_samples]
        merged = data_samples[0]
        merged.pred_instances = keep_best(found, self.options)
        return merged


def _at_hand_first(views: list[TwoStageView]) -> list[TwoStageView]:
    """Sort the views so that features in memory are used before others take their place."""
    return sorted(views, key=lambda view: not view.is_at_hand)


def _in_original_image(sample: DetDataSample) -> InstanceData:
    """Undo the flip of a view on its detections; what is no box or mask stays as it is."""
    found, meta = copy.copy(sample.pred_instances), sample.metainfo
    found.bboxes = flip_boxes(found.bboxes, meta)
    if 'masks' in found:
        found.masks = _unflip(found.masks, meta)
    return found


def _unflip(masks: Tensor | EncodedMasks, meta: dict) -> Tensor | EncodedMasks:
    """Undo the flip of a view on whole masks, and encode them unless they are grey."""
    if isinstance(masks, EncodedMasks):
        return masks.flip(meta['flip_direction']) if meta['flip'] else masks
    masks = unflip_maps(masks, meta)
    return EncodedMasks.from_bitmaps(masks) if masks.dtype == torch.bool else masks
