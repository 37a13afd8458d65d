"""Balanced group softmax: classes compete only with classes of about their own frequency."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.classification_loss import ClassificationLoss
from plugins.losses.group_softmax import Groups, choose_rows, group_classes
from plugins.losses.step_generator import DrawsPerStep


def group_softmax_loss(
    logits: Tensor, labels: Tensor, groups: Groups, row_weights: list[Tensor]
) -> Tensor:
    """Sum over the groups of the mean cross entropy of their rows.

    Args:
        logits: float (N, channels), the groups one after the other.
        labels: int64 (N,), in [0, K].
        groups: From ``group_classes``.
        row_weights: Per group, float (N,); 0 leaves a row out.

    Returns:
        A scalar.
    """
    loss = logits.sum() * 0.0
    for part, position, weights in zip(
        logits.split(groups.sizes, dim=1), groups.position, row_weights, strict=True
    ):
        rows = F.cross_entropy(part, position[labels], reduction='none')
        loss = loss + (rows * weights).sum() / (weights > 0).sum().clamp(min=1)
    return loss


@MODELS.register_module()
class BalancedGroupSoftmaxLoss(DrawsPerStep, NeedsCategoryCounts, ClassificationLoss):
    """Balanced group softmax, BaGS (Li et al. 2020).

    A softmax within each group of classes, each with a logit for all other classes, and one over
    foreground and background. The score of a class is its share of its group times the probability
    of being foreground, hence no other objectness may be added.

    Args:
        beta: Other RoIs per RoI of a group; 8 in the paper, 16 after tuning on LVIS v1 (Dave et al.
            2021, table 13).
        edges: Lower bounds, in training instances, of the second and later groups.
        counts: As in ``NeedsCategoryCounts``.
        **kwargs: As in ``ClassificationLoss``.
    """

    has_objectness = True

    def __init__(
        self, *, beta: float = 8.0, edges: tuple[int, ...] = (10, 100, 1000), **kwargs
    ) -> None:
        if beta < 0 or list(edges) != sorted(set(edges)):
            raise UserError(
                f'BalancedGroupSoftmaxLoss needs beta >= 0 and increasing edges: {beta=}, {edges=}'
            )
        self.beta = beta
        self.edges = tuple(edges)
        self.groups = None
        super().__init__(**kwargs)

    def counts_changed(self) -> None:
        """Put the classes into groups."""
        self.groups = group_classes(self.instance_count, self.edges)

    def num_channels(self) -> int:
        """Return K + 1, and one more per group."""
        return self.num_classes + 1 + len(self.edges) + 2

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return softmax within the group * P(foreground), and P(background) last."""
        groups = self._groups_on(cls_score.device)
        *parts, last = cls_score.float().split(groups.sizes, dim=1)
        is_foreground = last.softmax(dim=1)
        within = torch.cat([part.softmax(dim=1) for part in parts], dim=1)[:, groups.channel]
        return torch.cat([within * is_foreground[:, :1], is_foreground[:, 1:]], dim=1)

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``; every group has a normaliser of its own."""
        groups = self._groups_on(logits.device)
        generator = self.next_generator(logits.device)
        row_weights = [
            weights * choose_rows(position[labels] > 0, weights, self.beta, generator)
            for position in groups.position[:-1]
        ]
        return dict(loss_cls=group_softmax_loss(logits, labels, groups, [*row_weights, weights]))

    def _groups_on(self, device: torch.device) -> Groups:
        """Return the groups, moved once to where the logits are."""
        self.require_counts()
        if self.groups.position.device != device:
            moved = (self.groups.position.to(device), self.groups.channel.to(device))
            self.groups = Groups(self.groups.sizes, *moved)
        return self.groups
