"""Seesaw loss, with counts that every rank shares."""

import math

import torch
from mmengine.dist import all_reduce
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.classification_loss import ClassificationLoss, foreground_rows


def seesaw_logits(
    logits: Tensor, labels: Tensor, counts: Tensor, *, p: float, q: float, eps: float
) -> Tensor:
    """Add the logarithm of the Seesaw weights to the logits of the other classes.

    The softmax of the result is eq. 2 of Seesaw Loss (Wang et al. 2021) with ``S = M * K``:
    mitigation ``M_ij = min(1, (n_j / n_i)^p)`` (eq. 5) spares rare classes j, compensation
    ``K_ij = max(1, (s_j / s_i)^q)`` (eq. 6) punishes those that outscore the label i. In log space
    both are sums, exact, and need no class-by-class matrix.

    Args:
        logits: float (N, K).
        labels: int64 (N,), in [0, K).
        counts: (K,), samples seen of each class; counted as at least 1.
        p: Exponent of the count ratio, >= 0; 0 turns mitigation off.
        q: Exponent of the score ratio, >= 0; 0 turns compensation off.
        eps: Smallest score of the label that is divided by.

    Returns:
        float (N, K); no gradient flows through the weights.
    """
    index = labels[:, None]
    factors = []
    with torch.no_grad():
        if p > 0:
            log_counts = counts.clamp(min=1).to(logits.dtype).log()
            factors.append((log_counts - log_counts[index]).clamp_(max=0).mul_(p))
        if q > 0:
            log_scores = F.log_softmax(logits, dim=1)
            own = log_scores.gather(1, index).clamp_(min=math.log(eps))
            factors.append(log_scores.sub_(own).clamp_(min=0).mul_(q))
        for factor in factors:
            factor.scatter_(1, index, 0.0)
    return sum(factors, start=logits)


@MODELS.register_module()
class SyncSeesawLoss(ClassificationLoss):
    """Seesaw loss with an objectness branch (Wang et al. 2020, 2021).

    K class logits are trained on foreground RoIs, a softmax over two more logits (object,
    background) on all RoIs; both sums are divided by the number of all RoIs. The score of class c
    is softmax_c times the object probability. The classifier is usually normalised
    (``NormalizedLinear``, temperature 20).

    Unlike mmdet's ``SeesawLoss``, whose buffer name it shares, it counts the samples of all ranks,
    exactly (int64), in training only, and never waits for the GPU.

    Args:
        p: Exponent of mitigation.
        q: Exponent of compensation; 0 is the form of the 2020 report, 2 that of the 2021 paper.
        eps: Smallest score of the label that compensation divides by.
        reset_counts: Forget the counts of the checkpoint a new run starts from; for fine-tuning on
            other data. A resumed run keeps them.
        **kwargs: As in ``ClassificationLoss``.
    """

    has_objectness = True

    def __init__(
        self,
        *,
        p: float = 0.8,
        q: float = 2.0,
        eps: float = 1e-2,
        reset_counts: bool = False,
        **kwargs,
    ) -> None:
        if p < 0 or q < 0 or not 0 < eps < 1:
            raise UserError(f'SyncSeesawLoss needs p, q >= 0 and 0 < eps < 1: {p=}, {q=}, {eps=}')
        self.p, self.q, self.eps = p, q, eps
        self.reset_counts = reset_counts
        super().__init__(**kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes and start counting."""
        if self.num_classes is None:
            self.register_buffer('cum_samples', torch.zeros(num_classes + 1, dtype=torch.int64))
        super().bind(num_classes)

    def num_channels(self) -> int:
        """Return K + 2."""
        return self.num_classes + 2

    def start_training(self, *, seed: int, resumed: bool) -> None:
        """Forget the old counts if asked to."""
        # The loss of a frozen classifier is in eval mode.
        if self.reset_counts and not resumed and self.training:
            self.cum_samples.zero_()

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return softmax(classes) * P(object), and P(background) last; rows sum to 1."""
        is_object = cls_score[:, -2:].float().softmax(dim=1)
        classes = cls_score[:, :-2].float().softmax(dim=1)
        return torch.cat([classes * is_object[:, :1], is_object[:, 1:]], dim=1)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``acc_classes`` (foreground RoIs) and ``acc_objectness`` (all RoIs) in percent."""
        is_background = (labels == self.num_classes).long()
        right = cls_score[:, -2:].argmax(dim=1) == is_background
        accuracy = super().get_accuracy(cls_score, labels)
        accuracy['acc_objectness'] = 100.0 * right.sum() / max(len(labels), 1)
        return accuracy

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return ``loss_cls_classes`` and ``loss_cls_objectness``."""
        if self.training:
            self._count(labels)
        num_classes = self.num_classes
        # One split: two slices would cost two gradients of full size.
        classes, objectness = logits.split([num_classes, 2], dim=1)
        classes, targets, class_weights = foreground_rows(classes, labels, weights, num_classes)
        adjusted = seesaw_logits(
            classes, targets, self.cum_samples[:num_classes], p=self.p, q=self.q, eps=self.eps
        )
        class_loss = F.cross_entropy(adjusted, targets, reduction='none')
        is_background = (labels == num_classes).long()
        object_loss = F.cross_entropy(objectness, is_background, reduction='none')
        return dict(
            loss_cls_classes=(class_loss * class_weights).sum() / normalizer,
            loss_cls_objectness=(object_loss * weights).sum() / normalizer,
        )

    def _count(self, labels: Tensor) -> None:
        """Add the labels of all ranks, RoIs without weight included, as stock does."""
        seen = torch.zeros_like(self.cum_samples)
        seen.index_add_(0, labels, torch.ones_like(labels))
        all_reduce(seen)
        self.cum_samples += seen

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        name = f'{prefix}cum_samples'
        if name in state_dict:
            # mmdet's SeesawLoss saves float32.
            state_dict[name] = state_dict[name].round().long()
        super()._load_from_state_dict(state_dict, prefix, *args)
