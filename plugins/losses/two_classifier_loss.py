"""Two classifiers on one RoI: one stays as it is, one trains, and their scores are merged."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdet.models.losses import accuracy
from plugins.errors import UserError
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.classification_loss import ClassificationLoss

MERGES = ('average', 'select', 'original', 'second')
_KEY = 'roi_head.bbox_head.second_classifier'


def select_scores(
    original: Tensor, second: Tensor, instance_count: Tensor, threshold: float
) -> Tensor:
    """Take the classes with few training instances from the second classifier.

    Eq. 2 of SimCal (Wang et al. 2020). Background always comes from the original, and rows are not
    normalised again.

    Args:
        original: Scores, float (N, K + 1), background last.
        second: Scores, float (N, K + 1), background last.
        instance_count: Training instances of every class, (K,).
        threshold: Classes with at most so many instances are taken from ``second``; below 0 none
            is, infinity takes all.

    Returns:
        Scores, float (N, K + 1).
    """
    is_tail = instance_count <= threshold
    return torch.where(torch.cat([is_tail, is_tail.new_zeros(1)]), second, original)


class TwoClassifierLoss(NeedsCategoryCounts, ClassificationLoss):
    """Loss and scores of a head whose logits are those of two classifiers side by side.

    Only the second is trained. The original one's loss just turns its logits into scores: it stays
    in eval mode, so that nothing it counted moves. Made by ``TwoClassifiers`` from the head's
    ``loss_cls``; either loss may be any that a box head of mmdet accepts.

    Weights of a model that had the original classifier alone are loaded into it. Between the stages
    of a cascade the merged scores choose the class, which matters for class-wise boxes only.

    Args:
        original: Loss of the first classifier.
        second: Loss of the second classifier.
        merge: How two scores become one: 'average' (MMDet team 2020), 'select' (``select_scores``),
            or the scores of 'original' or 'second' alone.
        threshold: Largest number of training instances of a class that 'select' takes from
            ``second``.
        counts: As in ``NeedsCategoryCounts``; only 'select' needs them.
    """

    address = _KEY

    def __init__(
        self,
        *,
        original: nn.Module,
        second: nn.Module,
        merge: str = 'average',
        threshold: float = 300,
        counts: str | None = None,
    ) -> None:
        if merge not in MERGES:
            raise UserError(f'{_KEY}.merge must be one of {", ".join(MERGES)}; not {merge!r}')
        # Only a test reads it: too late to find out.
        if not isinstance(threshold, int | float):
            raise UserError(f'{_KEY}.threshold must be a number of instances, not {threshold!r}')
        super().__init__(counts=counts)
        self.merge = merge
        self.threshold = threshold
        self.original = original
        self.second = second
        self.original.eval()

    def num_channels(self) -> int:
        """Return the logits of both classifiers together."""
        return sum(self.channels())

    def channels(self) -> tuple[int, int]:
        """Return the number of logits of the original and of the second classifier."""
        return tuple(_channels(loss, self.num_classes) for loss in (self.original, self.second))

    def train(self, mode: bool = True) -> 'TwoClassifierLoss':
        """Switch between training and evaluation; the original loss is never in training."""
        super().train(mode)
        self.original.eval()
        return self

    def prior_bias(self) -> Tensor | None:
        """Return the initial bias of the original classifier; the second's is its loss's own."""
        return self.original.prior_bias() if hasattr(self.original, 'prior_bias') else None

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Turn the logits of both, float (N, channels), into merged scores, float (N, K + 1)."""
        logits = cls_score.split(self.channels(), dim=1)
        if self.merge in ('original', 'second'):
            loss = getattr(self, self.merge)
            return _activate(loss, logits[self.merge == 'second'])
        original, second = map(_activate, (self.original, self.second), logits)
        if self.merge == 'average':
            return (original + second) / 2
        self.require_counts()
        return select_scores(original, second, self.instance_count, self.threshold)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the accuracy of the second classifier, in percent, by the names its loss has."""
        logits = cls_score.split(self.channels(), dim=1)[1]
        if getattr(self.second, 'custom_activation', False):
            return self.second.get_accuracy(logits, labels)
        return dict(acc=accuracy(logits, labels))

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return the terms of the second classifier's loss."""
        second = logits.split(self.channels(), dim=1)[1]
        terms = self.second(second, labels, weights, avg_factor=normalizer)
        return terms if isinstance(terms, dict) else dict(loss_cls=terms)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        self._take_over(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _take_over(self, state_dict: dict, prefix: str) -> None:
        """Rename what the loss of a single classifier saved: ``x`` becomes ``original.x``."""
        names = self.original.state_dict()
        if any(f'{prefix}original.{name}' in state_dict for name in names):
            return
        for name in names:
            if prefix + name in state_dict:
                state_dict[f'{prefix}original.{name}'] = state_dict[prefix + name]
                if name not in self._buffers:
                    del state_dict[prefix + name]


def _channels(loss: nn.Module, num_classes: int) -> int:
    """Ask a loss for its channels as mmdet's box heads do."""
    if getattr(loss, 'custom_cls_channels', False):
        return loss.get_cls_channels(num_classes)
    return num_classes + 1


def _activate(loss: nn.Module, logits: Tensor) -> Tensor:
    """Turn logits into scores as mmdet's box heads do when they test."""
    if getattr(loss, 'custom_cls_channels', False):
        return loss.get_activation(logits)
    return F.softmax(logits.float(), dim=1)
