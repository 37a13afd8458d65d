"""Mask heads that compute the label's channel alone, in training and in a test.

A class-wise mask head makes C maps per RoI; training and testing look at one. Inside the contexts
below its predictor makes that one, so that cost and memory do not depend on C. What the head does
before, and all of the RoI head around it, is mmdet's own code.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from mmdet.models.roi_heads.mask_heads import FCNMaskHead, HTCMaskHead
from mmdet.models.task_modules.samplers import SamplingResult
from plugins.errors import UserError
from plugins.layers import knows_label_channels, label_channel

# What these do is known: they return what the predictor makes of the rectified features.
_FORWARDS = (FCNMaskHead.forward, HTCMaskHead.forward)


def predicts_label_alone(head: nn.Module) -> bool:
    """Return whether a mask head can compute the label's channel without the others.

    If it cannot, because it is class-agnostic, because its class has a forward of its own or
    because its predictor is none of the known ones, it has to compute all that it has.
    """
    return (
        isinstance(head, FCNMaskHead)
        and not head.class_agnostic
        and type(head).forward in _FORWARDS
        and knows_label_channels(head.conv_logits)
    )


def trains_on_label_alone(head: nn.Module) -> bool:
    """Return whether the loss of a mask head, too, needs no more than the label's channel."""
    return (
        predicts_label_alone(head)
        and type(head).loss_and_target is FCNMaskHead.loss_and_target
        and getattr(head.loss_mask, 'use_mask', False)
    )


@contextmanager
def label_channel_only(heads: Iterable[nn.Module], labels: Tensor) -> Iterator[None]:
    """Let mask heads return the label's channel alone while the context lasts.

    Args:
        heads: Mask heads. Those for which ``predicts_label_alone`` holds give logits of
            (N, 1, H, W) in the context, the others what they always give.
        labels: Int64 (N,), in the order of the RoIs that the heads will get.
    """
    with ExitStack() as undo:
        for head in filter(predicts_label_alone, heads):
            # The relu after a deconvolution is cheaper as a part of what follows it.
            rectify = head.upsample_method == 'deconv'
            parts = dict(conv_logits=_LabelPredictor(head.conv_logits, labels, rectify))
            if rectify:
                parts['relu'] = nn.Identity()
            for name, part in parts.items():
                undo.callback(setattr, head, name, getattr(head, name))
                setattr(head, name, part)
        yield


class _LabelPredictor(nn.Module):
    """Stands where a predictor was: float (N, D, H, W) to the (N, 1, H, W) of the labels."""

    def __init__(self, predictor: nn.Conv2d, labels: Tensor, rectify: bool) -> None:
        super().__init__()
        self.predictor = predictor
        self.labels = labels
        self.rectify = rectify

    def forward(self, features: Tensor) -> Tensor:
        logits = label_channel(self.predictor, features, self.labels, rectify=self.rectify)
        return logits[:, None]


@contextmanager
def label_loss_only(
    head: nn.Module, sampling_results: list[SamplingResult]
) -> Iterator[list[SamplingResult]]:
    """Let the loss of a mask head see the label's channel alone while the context lasts.

    Args:
        head: The mask head to train.
        sampling_results: The RoIs of every image.

    Yields:
        What to give the loss in their place: with one channel there is one class, 0. The
        originals if the head has to compute every channel.
    """
    if not trains_on_label_alone(head):
        yield sampling_results
        return
    labels = torch.cat([result.pos_gt_labels for result in sampling_results])
    with label_channel_only([head], labels):
        yield [_of_one_class(result) for result in sampling_results]


def _of_one_class(result: SamplingResult) -> SamplingResult:
    result = copy.copy(result)
    result.pos_gt_labels = torch.zeros_like(result.pos_gt_labels)
    return result


def pick_label(logits: Tensor, labels: Tensor) -> Tensor:
    """Take every RoI's own channel, (N, H, W), of logits (N, C, H, W).

    Args:
        logits: Float (N, C, H, W); C is 1 if they are class-agnostic or the label's already.
        labels: Int64 (N,).
    """
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(logits), device=logits.device), labels]


def merge_stages(stages: Iterable[Tensor]) -> Tensor:
    """Average the mask probabilities of the stages of a cascade.

    The label's channel is taken before the sigmoid; the result is the same bit by bit.

    Args:
        stages: The labels' logits of every stage, float (N, H, W).

    Returns:
        Float (N, H, W), probabilities.

    Raises:
        UserError: The stages' masks differ in size.
    """
    maps = [logits.sigmoid() for logits in stages]
    sizes = {tuple(stage.shape[1:]) for stage in maps}
    if len(sizes) > 1:
        raise UserError(
            f"the stages' masks have the sizes {sorted(sizes)}, which cannot be averaged; set "
            "roi_head.mask_merge='last'"
        )
    return torch.stack(maps).mean(0)
