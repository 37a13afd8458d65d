"""A batch without a single proposal must still reach every parameter of the RoI head."""

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.structures import SampleList


class TrainsOnEmptyBatch:
    """Put before a RoI head of mmdet among the bases: it also trains where nothing was proposed.

    Without RoIs stock skips classifiers and the later stages of a cascade, and HTC fails;
    distributed training then waits for gradients, and for sums over the ranks, that never come.
    """

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute the losses as stock does.

        Without proposals a zero that needs every gradient is added. Without objects as well, which
        would be RoIs too, the frame of the first image is the one RoI: background, in truth.
        """
        # Before the call: stock changes the proposals in place.
        nothing_proposed = not any(len(proposals) for proposals in rpn_results_list)
        if nothing_proposed and not any(len(sample.gt_instances) for sample in batch_data_samples):
            frame = _frame(batch_data_samples[0].img_shape, x[0])
            rpn_results_list = [frame, *rpn_results_list[1:]]
        losses = super().loss(x, rpn_results_list, batch_data_samples)
        if nothing_proposed:
            trained = (p for p in self.parameters() if p.requires_grad)
            losses['loss_no_proposal'] = sum((p.sum() * 0.0 for p in trained), x[0].sum() * 0.0)
        return losses


def _frame(img_shape: tuple[int, int], like: Tensor) -> InstanceData:
    """Return the border of an image, (height, width) in network pixels, as a proposal."""
    height, width = img_shape[:2]
    return InstanceData(
        bboxes=like.new_tensor([[0.0, 0.0, width, height]]),
        scores=like.new_zeros(1),
        labels=torch.zeros(1, dtype=torch.int64, device=like.device),
    )
