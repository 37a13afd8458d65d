"""Overlaps of boxes and priors, block by block instead of as one matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

EPS = 1e-6  # smallest union, as in mmdet's bbox_overlaps


@dataclass(frozen=True)
class Maxima:
    """Largest overlaps of N priors and K boxes in B blocks of priors.

    Args:
        prior_overlap: (N,), over all boxes; -1 for an ignored prior.
        prior_box: int64 (N,), the first box that reaches it.
        block_overlap: (K, B), of every box over the priors of every block.
        block_prior: int64 (K, B), the first prior of the block that reaches it, in [0, N).
    """

    prior_overlap: Tensor
    prior_box: Tensor
    block_overlap: Tensor
    block_prior: Tensor


class OverlapStream:
    """Overlaps of K boxes with N priors, of which a few blocks at a time are in memory.

    The values are those of mmdet's ``bbox_overlaps``, bit for bit: the same operations in the same
    precision. A pair of a box and a block whose extents do not meet is not computed, for its
    overlaps are 0.

    Args:
        boxes: xyxy, floating point, (K, 4), K > 0.
        priors: xyxy, the same type, (N, 4), N > 0.
        ignored: bool (N,), priors whose overlap with every box is -1; None: there are none.
        block_size: priors per block.
        dtype: what overlaps are turned into once they are computed.
    """

    def __init__(
        self,
        boxes: Tensor,
        priors: Tensor,
        *,
        ignored: Tensor | None,
        block_size: int,
        dtype: torch.dtype,
    ) -> None:
        self._boxes = boxes.t().contiguous()
        self._priors = priors.t().contiguous()  # a column per coordinate: one sweep each
        self._ignored = ignored
        self._block_size = block_size
        self._dtype = dtype
        self._num_blocks = -(-len(priors) // block_size)
        self._meeting = None if self._num_blocks == 1 else self._meeting_blocks()

    def maxima(self) -> Maxima:
        """Sweep all blocks once.

        Of equal overlaps the first box or prior counts, as in ``Tensor.max``.
        """
        num_priors = self._priors.shape[1]
        prior_overlap = self._priors.new_zeros(num_priors, dtype=self._dtype)
        prior_box = torch.zeros(num_priors, dtype=torch.long, device=self._priors.device)
        block_overlap, block_prior = self._maxima_without_contact()
        for block, priors, rows, overlaps in self._blocks(self._meeting):
            values, places = overlaps.max(dim=0)
            prior_overlap[priors] = values
            # At 0 the first of all boxes is meant, whether or not it was computed.
            prior_box[priors] = torch.where(values == 0, 0, rows[places])
            values, places = overlaps.max(dim=1)
            block_overlap[rows, block] = values
            block_prior[rows, block] = places + priors.start
        if self._ignored is not None:
            prior_overlap.masked_fill_(self._ignored, -1)
            prior_box.masked_fill_(self._ignored, 0)
        return Maxima(prior_overlap, prior_box, block_overlap, block_prior)

    def last_box_at(self, targets: Tensor, wanted: Tensor) -> Tensor:
        """Find the last box whose overlap with a prior equals the box's target.

        Args:
            targets: an overlap for each box, (K,).
            wanted: the blocks to look for it, bool (K, B).

        Returns:
            Index of the box plus 1 for every prior, int64 (N,); 0 where no box is at its target.
        """
        num_priors = self._priors.shape[1]
        last = torch.zeros(num_priors, dtype=torch.long, device=self._priors.device)
        for _, priors, rows, overlaps in self._blocks(wanted):
            hits = overlaps == targets[rows, None]
            last[priors] = (hits * (rows + 1)[:, None]).amax(dim=0)
        return last

    def _blocks(self, wanted: Tensor | None) -> Iterator[tuple[int, slice, Tensor, Tensor]]:
        """Blocks with any wanted box: number, priors, boxes int64 (R,), overlaps (R, priors)."""
        num_boxes, num_priors = self._boxes.shape[1], self._priors.shape[1]
        if wanted is None:
            counts = [num_boxes] * self._num_blocks
            rows = torch.arange(num_boxes, device=self._boxes.device).repeat(self._num_blocks)
        else:
            # Per sweep, not per block, the host waits for a GPU here.
            counts = wanted.sum(dim=0).tolist()
            rows = torch.where(wanted.t())[1]
        for block, part in enumerate(rows.split(counts)):
            if len(part):
                start = block * self._block_size
                priors = slice(start, min(start + self._block_size, num_priors))
                overlaps = box_overlaps(self._boxes[:, part], self._priors[:, priors]).to(
                    self._dtype
                )
                if self._ignored is not None:
                    overlaps.masked_fill_(self._ignored[priors], -1)
                yield block, priors, part, overlaps

    def _meeting_blocks(self) -> Tensor:
        """Pairs of a box and a block whose overlaps have to be computed, bool (K, B)."""
        # Padded by copies of the last prior, the blocks are one array.
        gap = self._num_blocks * self._block_size - self._priors.shape[1]
        filler = self._priors[:, -1:].expand(4, gap)
        blocks = torch.cat([self._priors, filler], dim=1).view(4, self._num_blocks, -1)
        low, high = blocks[:2].amin(dim=2), blocks[2:].amax(dim=2)
        starts, ends = self._boxes[:2, :, None], self._boxes[2:, :, None]
        meeting = ((starts < high[:, None]) & (ends > low[:, None])).all(dim=0)
        plain_block = _is_plain(blocks).all(dim=1)
        return meeting | ~plain_block | ~_is_plain(self._boxes)[:, None]

    def _maxima_without_contact(self) -> tuple[Tensor, Tensor]:
        """Entries of ``block_overlap`` and ``block_prior`` for pairs that are not computed."""
        shape = (self._boxes.shape[1], self._num_blocks)
        starts = torch.arange(self._num_blocks, device=self._boxes.device) * self._block_size
        if self._ignored is None:
            return self._boxes.new_zeros(shape, dtype=self._dtype), starts.repeat(shape[0], 1)
        gap = self._num_blocks * self._block_size - len(self._ignored)
        ignored = torch.nn.functional.pad(self._ignored, (0, gap), value=True)
        full, place = ignored.view(self._num_blocks, -1).min(dim=1)
        overlap = -full.to(self._dtype)
        return overlap.repeat(shape[0], 1), (starts + place).repeat(shape[0], 1)


def box_overlaps(boxes: Tensor, priors: Tensor, mode: str = 'iou') -> Tensor:
    """Overlap of every box with every prior, with the values of mmdet's ``bbox_overlaps``.

    Args:
        boxes: x1, y1, x2, y2 in rows, (4, K).
        priors: likewise (4, N).
        mode: ``'iou'``, or ``'iof'``: intersection over the area of the box.

    Returns:
        (K, N) in the type of the boxes.
    """
    shared = _shared_length(boxes[::2], priors[::2])
    shared *= _shared_length(boxes[1::2], priors[1::2])
    union = _area(boxes)[:, None].expand_as(shared)
    if mode == 'iou':
        union = (union + _area(priors)).sub_(shared)
    return shared.div_(torch.maximum(union, union.new_full((), EPS)))


def _shared_length(boxes: Tensor, priors: Tensor) -> Tensor:
    """Length (K, N) that the intervals of boxes (2, K) and priors (2, N) have in common."""
    end = torch.minimum(boxes[1, :, None], priors[1])
    return end.sub_(torch.maximum(boxes[0, :, None], priors[0])).clamp_(min=0)


def _area(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes
    return (x2 - x1) * (y2 - y1)


def _is_plain(boxes: Tensor) -> Tensor:
    """Whether boxes (4, ...) surely overlap with 0 what they do not meet.

    Infinite sides and areas, as half precision has them, and negative ones can make a NaN of it.
    """
    x1, y1, x2, y2 = boxes
    bound = torch.finfo(boxes.dtype).max / 4
    return (boxes.abs() < bound).all(dim=0) & (x1 <= x2) & (y1 <= y2)
