"""A batch without a single proposal must still reach every parameter of the RoI head."""

from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.structures import SampleList


class TrainsOnEmptyBatch:
    """Put before a RoI head of mmdet among the bases: zero losses where nothing was proposed.

    Stock skips classifiers and the later stages of a cascade when there are no RoIs; distributed
    training then waits for gradients that never come.
    """

    def loss(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> dict[str, Tensor]:
        """Compute the losses as stock does; without proposals add a zero that needs gradients."""
        # Before the call: stock changes the proposals in place.
        nothing_proposed = not any(len(proposals) for proposals in rpn_results_list)
        losses = super().loss(x, rpn_results_list, batch_data_samples)
        if nothing_proposed:
            trained = (p for p in self.parameters() if p.requires_grad)
            losses['loss_no_proposal'] = sum(p.sum() * 0.0 for p in trained)
        return losses
