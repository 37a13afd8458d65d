"""A mask branch that has nothing to learn is not computed."""

import inspect
from itertools import chain

from torch import Tensor, nn

from plugins.roi_heads.mask_heads import SeesImages
from plugins.roi_heads.stages import stages_of


class SkipsIdleMaskBranch:
    """Put before a RoI head of mmdet among the bases: no masks where they would train nothing.

    There is no mask loss when neither the mask head (of this stage, and what rates its masks) nor
    the features below have anything that needs a gradient, as in the calibration of a classifier.
    Without positive RoIs the loss is a zero that needs every gradient: some upsamplings, CARAFE for
    one, fail on no RoIs. Only heads with a loss of their own on the images compute it even then.
    RoI features, logits and mask targets are not computed then.
    """

    def mask_loss(self, *args, **kwargs) -> dict:
        """Compute the mask loss as stock does, with the arguments it has; or what stands for it."""
        given = inspect.signature(super().mask_loss).bind(*args, **kwargs).arguments
        head, *raters = self._parts_of_mask_loss()
        semantic_feat = given.get('semantic_feat')  # of HTC
        inputs = given['x'] if semantic_feat is None else (*given['x'], semantic_feat)
        weights = chain.from_iterable(part.parameters() for part in (head, *raters))
        trained = [p for p in chain(weights, inputs) if p.requires_grad]
        if not trained:
            return dict(loss_mask={})
        has_positives = any(len(result.pos_priors) for result in given['sampling_results'])
        # A head that looks at the images learns from what is not there, too.
        if not has_positives and not isinstance(head, SeesImages):
            return dict(loss_mask=dict(loss_mask=_zero_of(trained)))
        return super().mask_loss(*args, **kwargs)

    def _parts_of_mask_loss(self) -> list[nn.Module]:
        """Return the mask head at work and, in the last stage, what rates its masks."""
        heads = stages_of(self.mask_head)
        stage = self.current_stage if len(heads) > 1 else 0
        is_rated = stage == len(heads) - 1 and self.mask_iou_head is not None
        return [heads[stage], self.mask_iou_head] if is_rated else [heads[stage]]


def _zero_of(tensors: list[Tensor]) -> Tensor:
    """Return a zero whose gradient by every one of some tensors is zero."""
    return sum(tensor.sum() * 0.0 for tensor in tensors)
