"""The masks of detections: maps in their boxes first, pasted and encoded at the end."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.structures.bbox import bbox2roi
from plugins.errors import UserError
from plugins.roi_heads.label_masks import label_channel_only, merge_stages, pick_label
from plugins.roi_heads.mask_scoring import ScoresMasks
from plugins.roi_heads.shown_images import images_shown, rois_shown
from plugins.roi_heads.stages import stages_of
from plugins.structures.paste import paste_masks

MASK_CHUNK = 256


class MaskMaps(NamedTuple):
    """The masks of boxes, in the boxes.

    Args:
        maps: Probabilities, float (n, S, S).
        ious: How well the masks fit, float (n,) in [0, 1]; None if the model does not score them.
    """

    maps: Tensor
    ious: Tensor | None

    @classmethod
    def none(cls, like: Tensor, *, scored: bool) -> 'MaskMaps':
        """Return the masks of no boxes; S is 1."""
        return cls(like.new_zeros(0, 1, 1), like.new_zeros(0) if scored else None)

    def split(self, counts: list[int]) -> list['MaskMaps']:
        """Cut into parts of the given lengths."""
        ious = [None] * len(counts) if self.ious is None else self.ious.split(counts)
        return [MaskMaps(*part) for part in zip(self.maps.split(counts), ious, strict=True)]

    @classmethod
    def cat(cls, parts: list['MaskMaps']) -> 'MaskMaps':
        """Put parts of a model's answer together again."""
        scored = parts[0].ious is not None
        ious = torch.cat([part.ious for part in parts]) if scored else None
        return cls(torch.cat([part.maps for part in parts]), ious)


class PredictsMaskMaps(ScoresMasks):
    """Put before a RoI head of mmdet among the bases: masks stay in their boxes.

    Stock makes the maps of every class for every detection, one image-sized array per detection,
    and crashes where a box lies outside the image. Here memory depends neither on the number of
    classes nor on the size of the image: maps of the label alone, for ``test_cfg.rcnn.mask_chunk``
    RoIs at a time (default 256), and ``EncodedMasks`` as the result.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.with_mask and self.test_cfg is not None:
            # A mistake shall not wait for the first validation.
            _mask_chunk(self.test_cfg)

    def mask_maps(
        self, x: tuple[Tensor, ...], boxes: list[Tensor], labels: list[Tensor], **kwargs
    ) -> list[MaskMaps]:
        """Predict the mask probabilities of boxes, each for its own label.

        Args:
            x: Feature pyramid of the batch.
            boxes: Of every image, float (n_i, 4), x1, y1, x2, y2 in pixels of the network's input.
            labels: Of every image, int64 (n_i,).
            **kwargs: What else the mask branch of this head takes.

        Returns:
            The masks of every image; what several stages say is merged as the head merges it.
            Stages see the same view of an image, so a flip does not matter here. Without any box
            the heads are not asked.
        """
        counts = [len(own) for own in boxes]
        size = _mask_chunk(self.test_cfg)
        if not any(counts):
            return [MaskMaps.none(x[0], scored=self.mask_iou_head is not None) for _ in counts]
        chunks = zip(bbox2roi(boxes).split(size), torch.cat(labels).split(size), strict=True)
        with images_shown(stages_of(self.mask_head), x):
            parts = [self._maps_of_rois(x, *chunk, **kwargs) for chunk in chunks]
        return MaskMaps.cat(parts).split(counts)

    def _maps_of_rois(
        self, x: tuple[Tensor, ...], rois: Tensor, labels: Tensor, **kwargs
    ) -> MaskMaps:
        heads = stages_of(self.mask_head)
        stages, feats = [], None
        with torch.no_grad(), label_channel_only(heads, labels), rois_shown(heads, rois, labels):
            # One stage after the other: of a head that makes every class's maps no two stay.
            for prediction, seen in self._stage_masks(x, rois, **kwargs):
                stages.append(pick_label(prediction, labels))
                feats = seen
            return MaskMaps(merge_stages(stages), self._rate_masks(feats, stages[-1], labels))

    def _stage_masks(
        self, x: tuple[Tensor, ...], rois: Tensor, **kwargs
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Give what to merge, one stage after the other: logits (R, C, H, W), and what they saw.

        Args:
            x: Feature pyramid of the batch.
            rois: Float (R, 5), image index and box in network pixels.
            **kwargs: As in ``mask_maps``.
        """
        raise NotImplementedError

    def predict_mask(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        results_list: list[InstanceData],
        rescale: bool = False,
        **kwargs,
    ) -> list[InstanceData]:
        """Add masks to detections.

        Args:
            x: Feature pyramid of the batch.
            batch_img_metas: ``ori_shape``, ``img_shape`` and ``scale_factor`` of every image.
            results_list: ``bboxes`` in pixels of the network's input, and ``labels``.
            rescale: Whether boxes and masks shall be those of the original image.
            **kwargs: As in ``mask_maps``.

        Returns:
            The detections with ``masks``: ``EncodedMasks``, or with a negative
            ``mask_thr_binary`` stock's uint8 (n, H, W) of 255 times the probability; and with
            ``mask_scores``, float (n,), if the model scores its masks.
        """
        boxes, labels = ([found[key] for found in results_list] for key in ('bboxes', 'labels'))
        seen = self.mask_maps(x, boxes, labels, **kwargs)
        threshold = self.test_cfg.mask_thr_binary
        for found, own, meta in zip(results_list, seen, batch_img_metas, strict=True):
            score_masks(found, own.ious)
            if threshold < 0:
                self._paste_soft(found, own.maps, meta, rescale)
                continue
            if rescale:
                factors = found.bboxes.new_tensor(meta['scale_factor']).repeat((1, 2))
                found.bboxes = found.bboxes / factors
            height, width = meta['ori_shape' if rescale else 'img_shape'][:2]
            found.masks = paste_masks(own.maps, found.bboxes, height, width, threshold)
        return results_list

    def _paste_soft(self, found: InstanceData, maps: Tensor, meta: dict, rescale: bool) -> None:
        """Paste grey masks as stock does, from maps of one class."""
        pasted = InstanceData(bboxes=found.bboxes, labels=torch.zeros_like(found.labels))
        stages_of(self.mask_head)[-1].predict_by_feat(
            [maps[:, None]], [pasted], [meta], self.test_cfg, rescale, activate_map=True
        )
        found.bboxes, found.masks = pasted.bboxes, pasted.masks


def score_masks(found: InstanceData, ious: Tensor | None) -> None:
    """Add ``mask_scores`` to detections, the scores times the masks' IoUs, if there are any."""
    if ious is not None:
        found.mask_scores = found.scores * ious


def _mask_chunk(test_cfg: dict) -> int:
    size = test_cfg.get('mask_chunk', MASK_CHUNK)
    if not isinstance(size, int) or size < 1:
        raise UserError(
            f'test_cfg.rcnn.mask_chunk is {size!r}; it is the number of RoIs whose masks are '
            'computed at a time, an integer above 0'
        )
    return size
