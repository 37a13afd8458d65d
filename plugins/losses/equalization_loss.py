"""Equalization loss: rare classes are not pushed down by other classes' objects."""

import torch
from torch import Tensor

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.sigmoid_loss import SigmoidLoss


def equalization_weights(targets: Tensor, is_foreground: Tensor, is_tail: Tensor) -> Tensor:
    """Weights of the terms of sigmoid cross entropy (eq. 3 of Equalization Loss, Tan et al. 2020).

    ``w = 1 - E * T * (1 - y)``: a foreground RoI of another class is no negative sample of a tail
    class; a background RoI is one.

    Args:
        targets: y, float (N, K), 0 or 1.
        is_foreground: E, bool (N,).
        is_tail: T, bool (K,).

    Returns:
        float (N, K), 0 or 1.
    """
    exempt = is_foreground[:, None] & is_tail[None, :]
    return 1.0 - exempt.float() * (1.0 - targets)


@MODELS.register_module()
class EqualizationLoss(NeedsCategoryCounts, SigmoidLoss):
    """Equalization loss, EQL (Tan et al. 2020), in the form used for detection.

    Args:
        frequency_threshold: lambda: classes in a smaller share of the annotated training images are
            the tail. 1.76e-3 on LVIS v0.5; 1e-3 after tuning on v1 (Dave et al. 2021, table 13).
        prior: As in ``SigmoidLoss``.
        counts: As in ``NeedsCategoryCounts``.
        **kwargs: As in ``ClassificationLoss``.
    """

    def __init__(
        self, *, frequency_threshold: float = 1e-3, prior: float = 0.001, **kwargs
    ) -> None:
        if frequency_threshold < 0:
            raise UserError('EqualizationLoss.frequency_threshold must not be negative')
        self.frequency_threshold = frequency_threshold
        super().__init__(prior=prior, **kwargs)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes; which of them are the tail follows from the counts."""
        if self.num_classes is None:
            self.register_buffer(
                'is_tail', torch.zeros(num_classes, dtype=torch.bool), persistent=False
            )
        super().bind(num_classes)

    def counts_changed(self) -> None:
        """Find the tail: frequencies below the threshold, compared in float32 as in the original.

        Raises:
            UserError: The counts come from a file that does not say how many images there are.
        """
        if int(self.num_images) < 1:
            raise UserError(
                'EqualizationLoss needs the number of training images, which its counts do not '
                'give; make the file with tools/data/stats.py ANNOTATIONS --json FILE'
            )
        share = self.image_count.float() / self.num_images.float()
        self.is_tail.copy_(share < torch.tensor(self.frequency_threshold, dtype=torch.float32))

    def term_weights(self, targets: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Return 0 for terms that would push a tail class down, 1 otherwise."""
        self.require_counts()
        return equalization_weights(targets, labels < self.num_classes, self.is_tail)
