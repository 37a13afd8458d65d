"""The progressive constraint: a disentangled head has to beat its sibling by a margin."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox_overlaps
from plugins.losses.softmax_loss import SoftmaxLoss


class SampledRoIs(NamedTuple):
    """How many RoIs were sampled from every image, known without asking the device.

    They stand image after image, and in each image those with an object come first.

    Args:
        totals: RoIs of each image.
        positives: Those of them that have an object.
    """

    totals: list[int]
    positives: list[int]

    @classmethod
    def of(cls, sampling_results: Sequence[SamplingResult]) -> 'SampledRoIs':
        """Read the numbers off what a sampler returned, one result per image."""
        positives = [len(result.pos_priors) for result in sampling_results]
        negatives = [len(result.neg_priors) for result in sampling_results]
        return cls([p + n for p, n in zip(positives, negatives, strict=True)], positives)

    def positive_rows(self) -> Tensor:
        """Return where the RoIs with an object are, int64 (P,)."""
        images = torch.arange(sum(self.totals)).split(self.totals)
        pairs = zip(images, self.positives, strict=True)
        return torch.cat([rows[:count] for rows, count in pairs])


def shortfall(own: Tensor, sibling: Tensor, margin: float) -> Tensor:
    """By how much a quality stays behind the sibling's plus a margin (Song et al. 2020, TSD).

    Nobody can be better than 1, so what is asked for ends there.

    Args:
        own: Float, any shape, in [0, 1].
        sibling: Float, the same shape; it gets no gradient.
        margin: In [0, 1].

    Returns:
        Float, the same shape, in [0, 1].
    """
    asked = (sibling.detach() + margin).clamp(max=1.0)
    return (asked - own).clamp(min=0.0)


def classification_constraint(
    logits: Tensor,
    sibling: Tensor,
    labels: Tensor,
    sampled: SampledRoIs,
    margin: float,
) -> Tensor:
    """Compare the probabilities of the label, background included; mean over the RoIs.

    As in the published code an image without a positive counts as one RoI that falls short by 0.

    Args:
        logits: Float (R, K + 1), background last, image after image.
        sibling: Float (R, K + 1), those of the sibling.
        labels: Int64 (R,), in [0, K].
        sampled: The R RoIs.
        margin: As in ``shortfall``.

    Returns:
        A scalar.
    """
    own, other = (
        values.float().softmax(dim=1).gather(1, labels[:, None])[:, 0]
        for values in (logits, sibling.detach())
    )
    has_objects = torch.tensor([count > 0 for count in sampled.positives], dtype=torch.bool)
    counts = has_objects.repeat_interleave(torch.tensor(sampled.totals)).to(logits.device)
    total = sum(n if p else 1 for n, p in zip(*sampled, strict=True))
    return (shortfall(own, other, margin) * counts).sum() / max(total, 1)


def localization_constraint(
    boxes: Tensor,
    sibling: Tensor,
    objects: Tensor,
    sampled: SampledRoIs,
    margin: float,
) -> Tensor:
    """Compare the IoUs with the object; mean over the positives.

    As in the published code an image without a positive counts as one that falls short by 0.

    Args:
        boxes: Float (P, 4), x1, y1, x2, y2: predicted for the positives, image after image.
        sibling: Float (P, 4), those of the sibling.
        objects: Float (P, 4), their objects.
        sampled: Of whose RoIs these are the positives.
        margin: As in ``shortfall``.

    Returns:
        A scalar.
    """
    if len(boxes) == 0:
        return boxes.sum() * 0.0
    own, other = (
        bbox_overlaps(values, objects, is_aligned=True) for values in (boxes, sibling.detach())
    )
    return shortfall(own, other, margin).sum() / sum(max(p, 1) for p in sampled.positives)


def has_softmax(loss: nn.Module) -> bool:
    """Say whether the scores of a loss are a softmax over K classes and background."""
    if getattr(loss, 'custom_activation', False):
        return isinstance(loss, SoftmaxLoss)
    return not getattr(loss, 'use_sigmoid', False)
