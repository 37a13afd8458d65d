"""Equalization loss v2: classes are balanced by the gradients they have received."""

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.losses.classification_loss import ClassificationLoss, one_hot
from plugins.losses.sigmoid_loss import prior_logit, sigmoid_loss

_INITIAL_RATIO = 100.0
_PRIOR = 0.001


def gradient_weights(
    ratio: Tensor, *, mu: float, alpha: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """Weights of positive and negative terms (eq. 7-9 of Equalization Loss v2, Tan et al. 2021).

    Args:
        ratio: float (K,), accumulated positive over negative gradient of each class.
        mu: Ratio at which a class counts as half balanced.
        alpha: Gain of positive terms.
        gamma: Steepness.

    Returns:
        Positive weights ``1 + alpha * (1 - h)`` and negative weights ``h = sigmoid(gamma * (ratio -
        mu))``, float (K,) each.
    """
    negative = torch.sigmoid(gamma * (ratio - mu))
    return 1.0 + alpha * (1.0 - negative), negative


@MODELS.register_module()
class EqualizationLossV2(ClassificationLoss):
    """Equalization loss v2 (Tan et al. 2021); needs no counts.

    K + 1 sigmoids; the last one is background, trained as one more class that is never reweighted.
    Unlike mmdet's ``EQLV2Loss`` it is tested as it is trained, sums the gradients of all ranks by
    default, respects RoI weights, and leaves its state alone in evaluation.

    Args:
        mu, alpha, gamma: As in ``gradient_weights``.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(
        self, *, mu: float = 0.8, alpha: float = 4.0, gamma: float = 12.0, **kwargs
    ) -> None:
        self.mu, self.alpha, self.gamma = mu, alpha, gamma
        super().__init__(**kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes and start accumulating gradients."""
        if self.num_classes is None:
            self.register_buffer('pos_grad', torch.zeros(num_classes))
            self.register_buffer('neg_grad', torch.zeros(num_classes))
            self.register_buffer('pos_neg', torch.full((num_classes,), _INITIAL_RATIO))
        super().bind(num_classes)

    def num_channels(self) -> int:
        """Return K + 1."""
        return self.num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return sigmoids of the classes times (1 - that of background), and the latter."""
        scores = cls_score.float().sigmoid()
        return torch.cat([scores[:, :-1] * (1.0 - scores[:, -1:]), scores[:, -1:]], dim=1)

    def prior_bias(self) -> Tensor:
        """Return the logit of 0.001 for the classes; background starts even."""
        bias = torch.full((self.num_channels(),), prior_logit(_PRIOR))
        bias[-1] = 0.0
        return bias

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return ``loss_cls`` and, in training, add this step's gradients to the accumulated."""
        targets = one_hot(labels, self.num_classes + 1)
        positive, negative = gradient_weights(
            self.pos_neg, mu=self.mu, alpha=self.alpha, gamma=self.gamma
        )
        # Background keeps weight 1.
        positive, negative = F.pad(positive, (0, 1), value=1.0), F.pad(negative, (0, 1), value=1.0)
        factors = torch.where(targets > 0, positive, negative) * weights[:, None]
        if self.training:
            self._accumulate(logits.detach(), targets, factors)
        return dict(loss_cls=sigmoid_loss(logits, targets, factors, normalizer))

    def _accumulate(self, logits: Tensor, targets: Tensor, factors: Tensor) -> None:
        gradient = ((logits.sigmoid() - targets).abs() * factors)[:, :-1]
        sums = torch.stack([(gradient * y).sum(0) for y in (targets[:, :-1], 1 - targets[:, :-1])])
        all_reduce(sums)
        self.pos_grad += sums[0]
        self.neg_grad += sums[1]
        self.pos_neg.copy_(self.pos_grad / (self.neg_grad + 1e-10))
