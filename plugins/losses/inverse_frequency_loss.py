"""Loss re-weighting: RoIs of rare classes count more."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.softmax_loss import SoftmaxLoss, with_background


def inverse_frequency_weights(instance_count: Tensor, limits: tuple[float, float]) -> Tensor:
    """Class weights ``median(n) / n``, clipped.

    Args:
        instance_count: n, (K,); classes without instances get the upper limit.
        limits: Smallest and largest weight.

    Returns:
        float (K,).
    """
    counts = instance_count.double()
    # numpy's median: the mean of the middle two where their number is even.
    return (counts.quantile(0.5) / counts.clamp(min=1e-9)).clamp(*limits).float()


@MODELS.register_module()
class InverseFrequencyLoss(NeedsCategoryCounts, SoftmaxLoss):
    """Cross entropy weighted by inverse frequency, a baseline of SimCal (Wang et al. 2020, LR).

    The mean is over RoIs, not over weights.

    Args:
        limits: Smallest and largest weight of a class.
        background_weight: Weight of background RoIs.
        counts: As in ``NeedsCategoryCounts``.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(
        self,
        *,
        limits: tuple[float, float] = (0.1, 10.0),
        background_weight: float = 1.0,
        **kwargs,
    ) -> None:
        if len(limits) != 2 or not 0 <= limits[0] <= limits[1]:
            raise UserError(f'InverseFrequencyLoss.limits must be two weights in order: {limits}')
        self.limits = tuple(limits)
        self.background_weight = background_weight
        super().__init__(**kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes; the weights follow from the counts."""
        if self.num_classes is None:
            self.register_buffer('class_weights', torch.ones(num_classes + 1), persistent=False)
        super().bind(num_classes)

    def counts_changed(self) -> None:
        """Recompute the weights."""
        weights = inverse_frequency_weights(self.instance_count, self.limits)
        self.class_weights.copy_(with_background(weights, self.background_weight))

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted cross entropy of every RoI."""
        self.require_counts()
        own = self.class_weights[labels].to(logits.dtype)
        return F.cross_entropy(logits, labels, reduction='none') * own
