"""A mask branch in which nothing is trained costs nothing."""

import inspect

from torch import nn


class SkipsFrozenMaskBranch:
    """Put before a RoI head of mmdet among the bases: no mask loss where it would train nothing.

    That is so when neither the mask head (of this stage) nor the features below have anything that
    needs a gradient, as in the calibration of a classifier. RoI features, logits and mask targets
    are not computed then.
    """

    def mask_loss(self, *args, **kwargs) -> dict:
        """Compute the mask loss as stock does, with the arguments it has; or no loss at all."""
        features = inspect.signature(super().mask_loss).bind(*args, **kwargs).arguments['x']
        head = self.mask_head
        if isinstance(head, nn.ModuleList):
            head = head[self.current_stage]
        trains = any(p.requires_grad for p in head.parameters())
        if trains or any(level.requires_grad for level in features):
            return super().mask_loss(*args, **kwargs)
        return dict(loss_mask={})
