"""MaxIoUAssigner for many boxes and very many priors, without the matrix between them."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.task_modules.assigners import AssignResult, BboxOverlaps2D, MaxIoUAssigner
from mmdet.models.task_modules.assigners.max_iou_assigner import perm_repeat_bboxes
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from plugins.task_modules.overlap_stream import Maxima, OverlapStream, box_overlaps

CPU_BLOCK = 4096  # priors; small blocks stay in the processor's cache and meet few boxes
GPU_PAIRS = 2**23  # pairs of a box and a prior per block; large blocks need few kernel launches
GPU_BLOCK = 2**14  # priors, at least


@TASK_UTILS.register_module()
class StreamedMaxIoUAssigner(MaxIoUAssigner):
    """``MaxIoUAssigner`` that computes its overlaps in blocks of priors and keeps their maxima.

    The stock assigner holds the overlaps of all boxes with all priors and several temporaries of
    the same size: 5.8 GB for 300 boxes on an image of 1600 x 1408 pixels. Here memory hardly grows
    with the number of boxes, and pairs that cannot overlap are left out. A second sweep over the
    blocks that hold the best overlap of a box makes the low-quality matches.

    Options and results are those of the stock class, ties included. Results carry no gradient. With
    an ``iou_calculator`` other than ``BboxOverlaps2D``, or boxes and priors of different types,
    the stock class does the work.
    """

    @torch.no_grad()
    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs,
    ) -> AssignResult:
        """Assign a ground-truth box, the background or nothing to every prior.

        Args:
            pred_instances: has ``priors``, xyxy, (N, 4).
            gt_instances: has ``bboxes``, xyxy, (K, 4), and ``labels``, int64, (K,).
            gt_instances_ignore: has ``bboxes`` in whose vicinity no prior is assigned.
            **kwargs: not used, as in the stock class.

        Returns:
            ``gt_inds`` int64 (N,): -1 nothing, 0 background, i the box i - 1; ``max_overlaps``
            (N,); ``labels`` int64 (N,), -1 where no box is assigned.
        """
        priors, boxes = pred_instances.priors, gt_instances.bboxes
        if len(boxes) == 0 or len(priors) == 0:
            return super().assign(pred_instances, gt_instances)  # nothing to ignore either
        if not self._can_stream(priors, boxes):
            return super().assign(pred_instances, gt_instances, gt_instances_ignore, **kwargs)
        device = priors.device
        on_cpu = 0 < self.gpu_assign_thr < len(boxes)
        if self.perm_repeat_gt_cfg is not None:
            boxes = boxes.cpu() if on_cpu else boxes
            boxes = perm_repeat_bboxes(boxes, self.iou_calculator, self.perm_repeat_gt_cfg)
        ignore = None if gt_instances_ignore is None else gt_instances_ignore.bboxes
        coordinates = [
            None if b is None else self._coordinates(b.cpu() if on_cpu else b)
            for b in (boxes, priors, ignore)
        ]
        gt_inds, max_overlaps = self._match(*coordinates)
        gt_inds, max_overlaps = gt_inds.to(device), max_overlaps.to(device)
        labels = gt_instances.labels.long()[(gt_inds - 1).clamp(min=0)]
        return AssignResult(
            num_gts=len(boxes),
            gt_inds=gt_inds,
            max_overlaps=max_overlaps,
            labels=torch.where(gt_inds > 0, labels, -1),
        )

    def _can_stream(self, priors: Tensor, boxes: Tensor) -> bool:
        same = priors.dtype == boxes.dtype and priors.dtype.is_floating_point
        return same and type(self.iou_calculator) is BboxOverlaps2D

    def _coordinates(self, boxes: Tensor) -> Tensor:
        """Coordinates (N, 4) in the precision that the overlaps are computed in."""
        boxes = get_box_tensor(boxes)[:, :4]
        if self.iou_calculator.dtype == 'fp16':
            return (boxes / self.iou_calculator.scale).half()
        return boxes

    def _overlap_type(self, computed: Tensor) -> torch.dtype:
        """Type of overlaps that are compared with thresholds: that of ``BboxOverlaps2D``."""
        is_single = self.iou_calculator.dtype == 'fp16' and not computed.is_cuda
        return torch.float if is_single else computed.dtype

    def _match(self, boxes: Tensor, priors: Tensor, ignore: Tensor | None) -> tuple[Tensor, Tensor]:
        """``gt_inds`` and ``max_overlaps`` of the priors, both (N,)."""
        block_size = CPU_BLOCK
        if priors.is_cuda:
            block_size = max(GPU_BLOCK, GPU_PAIRS // len(boxes))
        ignored = None
        if self.ignore_iof_thr > 0 and ignore is not None and len(ignore) > 0:
            ignored = self._ignored(priors, ignore, block_size)
        stream = OverlapStream(
            boxes,
            priors,
            ignored=ignored,
            block_size=min(block_size, len(priors)),
            dtype=self._overlap_type(priors),
        )
        maxima = stream.maxima()
        gt_inds = self._threshold(maxima)
        if self.match_low_quality:
            best = self._low_quality(stream, maxima)
            gt_inds = torch.where(best > 0, best, gt_inds)
        return gt_inds, maxima.prior_overlap

    def _ignored(self, priors: Tensor, ignore: Tensor, block_size: int) -> Tensor:
        """Whether more than the allowed share of a prior (or of an ignored box) is shared."""
        ignore = ignore.t()
        parts = []
        for block in priors.split(block_size):
            if self.ignore_wrt_candidates:
                share = box_overlaps(block.t(), ignore, 'iof').amax(dim=1)
            else:
                share = box_overlaps(ignore, block.t(), 'iof').amax(dim=0)
            parts.append(share.to(self._overlap_type(share)) > self.ignore_iof_thr)
        return torch.cat(parts)

    def _threshold(self, maxima: Maxima) -> Tensor:
        """``gt_inds`` by the overlap of each prior alone (steps 1 to 3 of the stock class)."""
        overlap = maxima.prior_overlap
        gt_inds = torch.full_like(maxima.prior_box, -1)
        if isinstance(self.neg_iou_thr, float):
            gt_inds[(overlap >= 0) & (overlap < self.neg_iou_thr)] = 0
        elif isinstance(self.neg_iou_thr, tuple):
            low, high = self.neg_iou_thr
            gt_inds[(overlap >= low) & (overlap < high)] = 0
        return torch.where(overlap >= self.pos_iou_thr, maxima.prior_box + 1, gt_inds)

    def _low_quality(self, stream: OverlapStream, maxima: Maxima) -> Tensor:
        """Box plus 1 that has its best overlap at a prior, else 0; of several boxes the last."""
        best, block = maxima.block_overlap.max(dim=1)
        good = best >= self.min_pos_iou
        if self.gt_max_assign_all:
            # Where nothing was computed, all overlaps of the block equal its maximum too.
            wanted = (maxima.block_overlap == best[:, None]) & good[:, None]
            return stream.last_box_at(best, wanted)
        prior = maxima.block_prior.gather(1, block[:, None])[:, 0]
        rank = torch.arange(1, len(best) + 1, device=best.device) * good
        return torch.zeros_like(maxima.prior_box).scatter_reduce_(0, prior, rank, 'amax')
