"""Focal loss on a softmax."""

from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.softmax_loss import SoftmaxLoss


def multi_class_focal_loss(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """Focal loss ``-(1 - p)^gamma log p`` of the label's softmax score p (Lin et al. 2017).

    Args:
        logits: float (N, K + 1).
        labels: int64 (N,), in [0, K].
        gamma: >= 0; 0 is cross entropy.

    Returns:
        float (N,).
    """
    log_p = F.log_softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)
    return -((1.0 - log_p.exp()) ** gamma) * log_p


@MODELS.register_module()
class MultiClassFocalLoss(SoftmaxLoss):
    """Focal loss over the classes and background, as a baseline of SimCal (Wang et al. 2020).

    mmdet's focal losses are sigmoid losses, or lose the last class in a box head.

    Args:
        gamma: How much well classified RoIs are discounted; 2 is usual, the paper does not say.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(self, *, gamma: float = 2.0, **kwargs) -> None:
        if gamma < 0:
            raise UserError(f'MultiClassFocalLoss.gamma must not be negative: {gamma}')
        self.gamma = gamma
        super().__init__(**kwargs)

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the focal loss of every RoI."""
        return multi_class_focal_loss(logits, labels, self.gamma)
