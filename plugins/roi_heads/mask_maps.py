"""The masks of detections: maps in their boxes first, pasted and encoded at the end."""

from collections.abc import Iterator

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdet.structures.bbox import bbox2roi
from plugins.errors import UserError
from plugins.roi_heads.label_masks import label_channel_only, merge_stages
from plugins.structures.paste import paste_masks

MASK_CHUNK = 256


class PredictsMaskMaps:
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
    ) -> list[Tensor]:
        """Predict the mask probabilities of boxes, each for its own label.

        Args:
            x: Feature pyramid of the batch.
            boxes: Of every image, float (n_i, 4), x1, y1, x2, y2 in pixels of the network's input.
            labels: Of every image, int64 (n_i,).
            **kwargs: What else the mask branch of this head takes.

        Returns:
            Of every image, float (n_i, S, S); what several stages say is merged as the head merges
            it. Stages see the same view of an image, so a flip does not matter here. Without any
            box the heads are not asked, and S is 1.
        """
        counts = [len(own) for own in boxes]
        size = _mask_chunk(self.test_cfg)
        if not any(counts):
            return [x[0].new_zeros(0, 1, 1) for _ in counts]
        chunks = zip(bbox2roi(boxes).split(size), torch.cat(labels).split(size), strict=True)
        maps = [self._maps_of_rois(x, *chunk, **kwargs) for chunk in chunks]
        return list(torch.cat(maps).split(counts))

    def _maps_of_rois(
        self, x: tuple[Tensor, ...], rois: Tensor, labels: Tensor, **kwargs
    ) -> Tensor:
        with label_channel_only(self._mask_heads(), labels):
            return merge_stages(self._mask_logits(x, rois, **kwargs), labels).detach()

    def _mask_heads(self) -> list[nn.Module]:
        heads = self.mask_head
        return list(heads) if isinstance(heads, nn.ModuleList) else [heads]

    def _mask_logits(self, x: tuple[Tensor, ...], rois: Tensor, **kwargs) -> Iterator[Tensor]:
        """Give the logits to merge, float (R, C, H, W), one stage after the other."""
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
            ``mask_thr_binary`` stock's uint8 (n, H, W) of 255 times the probability.
        """
        boxes, labels = ([found[key] for found in results_list] for key in ('bboxes', 'labels'))
        maps = self.mask_maps(x, boxes, labels, **kwargs)
        threshold = self.test_cfg.mask_thr_binary
        for found, own_maps, meta in zip(results_list, maps, batch_img_metas, strict=True):
            if threshold < 0:
                self._paste_soft(found, own_maps, meta, rescale)
                continue
            if rescale:
                factors = found.bboxes.new_tensor(meta['scale_factor']).repeat((1, 2))
                found.bboxes = found.bboxes / factors
            height, width = meta['ori_shape' if rescale else 'img_shape'][:2]
            found.masks = paste_masks(own_maps, found.bboxes, height, width, threshold)
        return results_list

    def _paste_soft(self, found: InstanceData, maps: Tensor, meta: dict, rescale: bool) -> None:
        """Paste grey masks as stock does, from maps of one class."""
        pasted = InstanceData(bboxes=found.bboxes, labels=torch.zeros_like(found.labels))
        self._mask_heads()[-1].predict_by_feat(
            [maps[:, None]], [pasted], [meta], self.test_cfg, rescale, activate_map=True
        )
        found.bboxes, found.masks = pasted.bboxes, pasted.masks


def _mask_chunk(test_cfg: dict) -> int:
    size = test_cfg.get('mask_chunk', MASK_CHUNK)
    if not isinstance(size, int) or size < 1:
        raise UserError(
            f'test_cfg.rcnn.mask_chunk is {size!r}; it is the number of RoIs whose masks are '
            'computed at a time, an integer above 0'
        )
    return size
