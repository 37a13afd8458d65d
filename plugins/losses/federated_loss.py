"""Federated loss: sigmoid cross entropy over a few classes drawn for each iteration."""

import torch
from torch import Tensor

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.category_counts import NeedsCategoryCounts
from plugins.losses.sigmoid_loss import SigmoidLoss
from plugins.losses.step_generator import DrawsPerStep


def draw_classes(
    is_present: Tensor, class_weights: Tensor, size: int, generator: torch.Generator
) -> Tensor:
    """Draw the classes of one iteration (federated loss of CenterNet2, Zhou et al. 2021).

    Every label present is in; classes drawn without replacement, with probabilities proportional to
    their weights, fill up to ``size``. Background, if present, takes one of the places.

    Args:
        is_present: bool (K + 1,), labels of the batch, background last.
        class_weights: float (K,), >= 0; a class of weight 0 is never drawn.
        size: Number of classes wanted; more labels than that are all kept.
        generator: On the device of the tensors.

    Returns:
        bool (K,), the classes that take part.
    """
    num_missing = size - is_present.sum()
    is_present = is_present[:-1]
    # The first of independent exponential clocks of these rates are draws without replacement.
    clock = torch.empty_like(class_weights).exponential_(generator=generator) / class_weights
    can_be_drawn = (class_weights > 0) & ~is_present
    clock = clock.masked_fill(~can_be_drawn, torch.inf)
    place = torch.empty_like(clock, dtype=torch.int64)
    place[clock.argsort()] = torch.arange(len(clock), device=clock.device)
    return is_present | (can_be_drawn & (place < num_missing))


@MODELS.register_module()
class FederatedLoss(DrawsPerStep, NeedsCategoryCounts, SigmoidLoss):
    """Federated loss (Zhou et al. 2021, as evaluated by Dave et al. 2021).

    LVIS knows only a part of the classes of an image; a class that is neither present nor drawn
    gets no gradient at all.

    Args:
        num_sampled: Classes that take part in an iteration, per rank.
        power: Classes are drawn in proportion to (number of training images) ** power.
        counts: As in ``NeedsCategoryCounts``.
        **kwargs: As in ``SigmoidLoss``.
    """

    def __init__(self, *, num_sampled: int = 50, power: float = 0.5, **kwargs) -> None:
        if num_sampled < 1:
            raise UserError(f'FederatedLoss.num_sampled must be at least 1: {num_sampled}')
        self.num_sampled = num_sampled
        self.power = power
        super().__init__(**kwargs)

    def term_weights(self, targets: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Return 1 for the classes of this iteration, 0 for the others."""
        self.require_counts()
        is_present = torch.zeros(self.num_classes + 1, device=labels.device)
        is_present.index_add_(0, labels, (weights > 0).float())
        class_weights = self.image_count.float() ** self.power * (self.image_count > 0)
        generator = self.next_generator(labels.device)
        return draw_classes(is_present > 0, class_weights, self.num_sampled, generator).float()
