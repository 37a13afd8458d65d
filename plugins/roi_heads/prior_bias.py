"""Classifiers that start from the prior their loss asks for."""

import torch
from torch import nn

from plugins.errors import UserError
from plugins.roi_heads.stages import stages_of


def write_prior_bias(classifier: nn.Module, loss: nn.Module) -> None:
    """Set the bias of a classifier's last layer to what its loss wants it to be before training.

    Args:
        classifier: The layer; its ``bias`` is float (channels,).
        loss: Its loss; only losses with ``prior_bias()`` (``plugins/losses``) have such a wish.

    Raises:
        UserError: The layer has no bias.
    """
    bias = loss.prior_bias() if hasattr(loss, 'prior_bias') else None
    if bias is None:
        return
    if classifier.bias is None:
        raise UserError(
            f'roi_head.bbox_head.cls_predictor_cfg has bias=False, but {type(loss).__name__} '
            'starts from a prior score, which is a bias; leave bias=False out'
        )
    with torch.no_grad():
        classifier.bias.copy_(bias)


class StartsFromPrior:
    """Put before a RoI head of mmdet among the bases: classifiers start from their loss's prior.

    With K sigmoids per RoI, almost all of them negative, a bias of zero makes the first loss K/2
    times as large as useful.
    """

    def init_weights(self) -> None:
        """Initialise as stock does, then write the bias of the classifier of every stage."""
        super().init_weights()
        for head in stages_of(self.bbox_head):
            if head.with_cls:
                write_prior_bias(head.fc_cls, head.loss_cls)
