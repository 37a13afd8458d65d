"""A mask branch that has nothing to learn is not computed."""

import inspect
from itertools import chain

from torch import Tensor, nn


class SkipsIdleMaskBranch:
    """Put before a RoI head of mmdet among the bases: no masks where they would train nothing.

    There is no mask loss when neither the mask head (of this stage) nor the features below have
    anything that needs a gradient, as in the calibration of a classifier. Without positive RoIs the
    loss is a zero that needs every gradient: some upsamplings, CARAFE for one, fail on no RoIs.
    RoI features, logits and mask targets are not computed then.
    """

    def mask_loss(self, *args, **kwargs) -> dict:
        """Compute the mask loss as stock does, with the arguments it has; or what stands for it."""
        given = inspect.signature(super().mask_loss).bind(*args, **kwargs).arguments
        head = self.mask_head
        if isinstance(head, nn.ModuleList):
            head = head[self.current_stage]
        semantic_feat = given.get('semantic_feat')  # of HTC
        inputs = given['x'] if semantic_feat is None else (*given['x'], semantic_feat)
        trained = [p for p in chain(head.parameters(), inputs) if p.requires_grad]
        if not trained:
            return dict(loss_mask={})
        if not any(len(result.pos_priors) for result in given['sampling_results']):
            return dict(loss_mask=dict(loss_mask=_zero_of(trained)))
        return super().mask_loss(*args, **kwargs)


def _zero_of(tensors: list[Tensor]) -> Tensor:
    """Return a zero whose gradient by every one of some tensors is zero."""
    return sum(tensor.sum() * 0.0 for tensor in tensors)
