"""Class-aware margin: rare classes have to win by more."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.softmax_loss import SoftmaxLoss, with_background


def class_margins(instance_count: Tensor, max_margin: float) -> Tensor:
    """Margins ``C / n^(1/4)`` (LDAM, Cao et al. 2019), the largest of them ``max_margin``.

    Args:
        instance_count: n, (K,); classes without instances get the largest margin.
        max_margin: Margin of the rarest class, in logits.

    Returns:
        float (K,).
    """
    counts = instance_count.double()
    smallest = counts[counts > 0].min() if bool((counts > 0).any()) else counts.new_tensor(1.0)
    return (max_margin * (smallest / counts.clamp(min=smallest)) ** 0.25).float()


def margin_logits(logits: Tensor, labels: Tensor, margins: Tensor) -> Tensor:
    """Take its margin off the logit of every RoI's label.

    Args:
        logits: float (N, K + 1).
        labels: int64 (N,), in [0, K].
        margins: float (K + 1,).

    Returns:
        float (N, K + 1).
    """
    own = margins[labels].to(logits.dtype)
    return logits.scatter_add(1, labels[:, None], -own[:, None])


@MODELS.register_module()
class ClassAwareMarginLoss(NeedsCategoryCounts, SoftmaxLoss):
    """Cross entropy with a margin per class, a baseline of SimCal (Wang et al. 2020, CM).

    Args:
        max_margin: Margin of the rarest class; background has none. The paper gives no value, 0.5
            is LDAM's.
        counts: As in ``NeedsCategoryCounts``.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(self, *, max_margin: float = 0.5, **kwargs) -> None:
        self.max_margin = max_margin
        super().__init__(**kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes; the margins follow from the counts."""
        if self.num_classes is None:
            self.register_buffer('margins', torch.zeros(num_classes + 1), persistent=False)
        super().bind(num_classes)

    def counts_changed(self) -> None:
        """Recompute the margins."""
        margins = class_margins(self.instance_count, self.max_margin)
        self.margins.copy_(with_background(margins, 0.0))

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy after the margins."""
        self.require_counts()
        adjusted = margin_logits(logits, labels, self.margins)
        return F.cross_entropy(adjusted, labels, reduction='none')
