"""Mask scoring on the maps of the labels, at whatever size the mask head makes them."""

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.roi_heads.mask_heads import MaskIoUHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks
from plugins.errors import UserError
from plugins.structures import windows_of

EPS = 1e-7  # pixels; an object without any has a share of 0, not NaN


@MODELS.register_module()
class LabelMaskIoUHead(MaskIoUHead):
    """Predict the IoU of the label's mask with the object, Mask Scoring R-CNN (Huang et al. 2019).

    Layers, parameter names and options are those of mmdet's head. That one needs maps of twice the
    size of the RoI features, counts a pixel as mask from a *logit* of 0.5 on, that is a probability
    of 0.62, and its ratings are not bounded. Here a map may have any size (RefineMask has 112), the
    threshold is a probability of 0.5, the one at which masks are pasted, and ratings lie in [0, 1].
    """

    def forward(self, mask_feats: Tensor, mask_logits: Tensor) -> Tensor:
        """Predict an IoU for every class.

        Args:
            mask_feats: Float (R, D, h, w), the RoI features that the mask head was given.
            mask_logits: Float (R, S, S), the maps of the labels. Gradients reach them; detach them
                if they are not to.

        Returns:
            Float (R, num_classes), unbounded.
        """
        height, width = mask_feats.shape[-2:]
        # The sigmoid comes after it, which makes no difference to a maximum.
        pooled = F.adaptive_max_pool2d(mask_logits[:, None], (2 * height, 2 * width))[:, 0]
        return super().forward(mask_feats, pooled)

    def loss_and_target(
        self,
        iou_pred: Tensor,
        mask_logits: Tensor,
        mask_targets: Tensor,
        sampling_results: list[SamplingResult],
        batch_gt_instances: list[InstanceData],
    ) -> dict[str, Tensor]:
        """Compute the loss of the labels' predictions; masks that miss their object do not count.

        Args:
            iou_pred: Float (R, num_classes), what ``forward`` returned for the positive RoIs.
            mask_logits: Float (R, S, S), the maps of the labels.
            mask_targets: (R, S, S), 0 or 1, the objects inside the RoIs.
            sampling_results: The RoIs of every image, R positive ones in all.
            batch_gt_instances: The objects of every image, with ``masks``.

        Returns:
            ``loss_mask_iou``: float32 (); zero, but connected to every parameter, without RoIs.
        """
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        with torch.no_grad():
            shares = [
                shares_inside(result.pos_priors, result.pos_assigned_gt_inds, objects.masks)
                for result, objects in zip(sampling_results, batch_gt_instances, strict=True)
            ]
            targets = iou_targets(mask_logits, mask_targets, torch.cat(shares))
            # Also false for NaN: an empty mask of an object that has no pixel in the RoI.
            counted = targets > 0
            targets = torch.where(counted, targets, 0.0)
        loss = self.loss_iou(
            _of_label(iou_pred.float(), labels),
            targets,
            weight=counted.float(),
            avg_factor=counted.sum().clamp(min=1),
        )
        return dict(loss_mask_iou=loss)

    def rate(self, iou_pred: Tensor, labels: Tensor) -> Tensor:
        """Factors by which scores of boxes become scores of masks.

        Args:
            iou_pred: Float (R, num_classes), what ``forward`` returned.
            labels: Int64 (R,), in [0, num_classes).

        Returns:
            Float32 (R,), in [0, 1].
        """
        return _of_label(iou_pred.float(), labels).clamp(0.0, 1.0)


def iou_targets(mask_logits: Tensor, mask_targets: Tensor, shares: Tensor) -> Tensor:
    """IoU of a mask, which ends at its RoI, with the whole object.

    The object's area in pixels of the map is that inside the RoI, divided by the share inside.

    Args:
        mask_logits: Float (R, S, S); a pixel is mask from a logit above 0 on.
        mask_targets: (R, S, S), 0 or 1, the object inside the RoI.
        shares: Float32 (R,), see `shares_inside`.

    Returns:
        Float32 (R,), from 0 to 1 up to rasterisation; NaN where both are empty.
    """
    masks = mask_logits > 0
    objects = mask_targets > 0
    overlap = (masks & objects).sum((1, 2)).float()
    whole = objects.sum((1, 2)).float() / (shares + EPS)
    return overlap / (masks.sum((1, 2)).float() + whole - overlap)


def shares_inside(boxes: Tensor, objects: Tensor, masks: BitmapMasks) -> Tensor:
    """Share of an object's area that lies inside a box, counted in whole pixels of the image.

    Args:
        boxes: Float (R, 4), x1, y1, x2, y2 in pixels of the frame of the masks.
        objects: Int64 (R,), the object of each box.
        masks: N objects. Of crops only the pixels in both crop and box are looked at.

    Returns:
        Float32 (R,) on the device of the boxes, in [0, 1].

    Raises:
        UserError: The masks are polygons, which have no pixels to count.
    """
    if not isinstance(masks, BitmapMasks):
        raise UserError(
            'mask scoring (roi_head.mask_iou_head) counts pixels of ground truth, but these masks '
            'are polygons: load them with LoadCropAnnotations (or poly2mask=True) in train_pipeline'
        )
    windows = windows_of(masks)
    areas = masks.areas
    shares = np.zeros(len(boxes), np.float32)
    # Truncated and at least a pixel wide and high inside the frame, as `BitmapMasks.crop` has it.
    corners = boxes.detach().float().cpu().numpy().astype(np.int64).reshape(-1, 2, 2)
    corners = corners.clip(0, (masks.width, masks.height)).reshape(-1, 4).tolist()
    for i, (obj, (x1, y1, x2, y2)) in enumerate(zip(objects.tolist(), corners, strict=True)):
        left, top, crop = windows[obj]
        rows = slice(max(y1 - top, 0), max(max(y2, y1 + 1) - top, 0))
        columns = slice(max(x1 - left, 0), max(max(x2, x1 + 1) - left, 0))
        shares[i] = np.count_nonzero(crop[rows, columns]) / (areas[obj] + EPS)
    return torch.from_numpy(shares).to(boxes.device)


def _of_label(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(1, labels[:, None])[:, 0]
