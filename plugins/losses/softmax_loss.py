"""Softmax over the classes and background: plain cross entropy and what varies it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.losses.classification_loss import ClassificationLoss


@MODELS.register_module()
class SoftmaxLoss(ClassificationLoss):
    """Cross entropy over K classes and background, divided by the number of RoIs.

    The same values as mmdet's ``CrossEntropyLoss``, for everything that wants the hooks of
    ``ClassificationLoss``: objectness, a second classifier.
    """

    def num_channels(self) -> int:
        """Return K + 1."""
        return self.num_classes + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return the softmax."""
        return cls_score.float().softmax(dim=1)

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return ``loss_cls``."""
        return dict(loss_cls=(self.row_losses(logits, labels) * weights).sum() / normalizer)

    def row_losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every RoI, float (N,)."""
        return F.cross_entropy(logits, labels, reduction='none')


def with_background(values: Tensor, background: float) -> Tensor:
    """Append the value of background to one value per class: (K,) to (K + 1,)."""
    return torch.cat([values, values.new_tensor([background])])
