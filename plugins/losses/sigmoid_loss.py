"""One sigmoid per class, and what the losses built on it share."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.classification_loss import ClassificationLoss, one_hot


def sigmoid_loss(
    logits: Tensor, targets: Tensor, weights: Tensor, normalizer: Tensor | float
) -> Tensor:
    """Weighted sum of binary cross entropies over all RoIs and classes, divided once.

    Seed of the normalisation: Dave et al. 2021, appendix B: the sum over K * N terms is divided by
    the number N of RoIs, not by K * N.

    Args:
        logits: float (N, K).
        targets: float (N, K), 0 or 1.
        weights: Broadcastable to (N, K), >= 0.
        normalizer: Usually N.

    Returns:
        A scalar.
    """
    terms = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    return (terms * weights).sum() / normalizer


def prior_logit(prior: float) -> float:
    """Return the logit whose sigmoid is ``prior``, in (0, 1)."""
    return -math.log((1 - prior) / prior)


@MODELS.register_module()
class SigmoidLoss(ClassificationLoss):
    """Sigmoid cross entropy over the foreground classes; background is the absence of all.

    Args:
        prior: Score of every class before training; sets the classifier's bias, so that K classes
            times all background RoIs do not swamp the first iterations.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(self, *, prior: float = 0.01, **kwargs) -> None:
        if not 0 < prior < 1:
            raise UserError(f'{type(self).__name__}.prior must be in (0, 1): {prior}')
        self.prior = prior
        super().__init__(**kwargs)

    def num_channels(self) -> int:
        """Return K."""
        return self.num_classes

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return the sigmoids and a zero for background, which has no score of its own."""
        return F.pad(cls_score.float().sigmoid(), (0, 1))

    def prior_bias(self) -> Tensor:
        """Return the logit of ``prior`` for every channel."""
        return torch.full((self.num_channels(),), prior_logit(self.prior))

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``."""
        targets = one_hot(labels, self.num_classes)
        factors = weights[:, None] * self.term_weights(targets, labels, weights)
        return dict(loss_cls=sigmoid_loss(logits, targets, factors, normalizer))

    def term_weights(self, targets: Tensor, labels: Tensor, weights: Tensor) -> Tensor | float:
        """Return the weight of every term, broadcastable to (N, K); all equal here."""
        return 1.0
