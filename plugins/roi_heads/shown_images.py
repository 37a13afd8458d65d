"""What mask heads see that look at the images themselves, not at RoI features alone."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from plugins.roi_heads.mask_heads import SeesImages


@contextmanager
def images_shown(heads: Iterable[nn.Module], x: tuple[Tensor, ...]) -> Iterator[None]:
    """Show mask heads the feature pyramid of a batch while the context lasts.

    Args:
        heads: Mask heads; those that see RoI features alone are left alone.
        x: Feature pyramid.
    """
    with ExitStack() as stack:
        for head in _seeing(heads):
            stack.enter_context(head.seeing_images(x))
        yield


@contextmanager
def rois_shown(heads: Iterable[nn.Module], rois: Tensor, labels: Tensor) -> Iterator[None]:
    """Tell mask heads where on the shown images they are while the context lasts.

    Args:
        heads: As in ``images_shown``, inside whose context this one has to be.
        rois: Float (R, 5), image index and box in network pixels.
        labels: Int64 (R,), the classes whose masks are wanted.
    """
    with ExitStack() as stack:
        for head in _seeing(heads):
            stack.enter_context(head.seeing_rois(rois, labels))
        yield


@contextmanager
def positives_shown(
    head: nn.Module, x: tuple[Tensor, ...], sampling_results: list[SamplingResult]
) -> Iterator[None]:
    """Show a mask head the images and the RoIs that it trains on while the context lasts."""
    rois = bbox2roi([result.pos_priors for result in sampling_results])
    labels = torch.cat([result.pos_gt_labels for result in sampling_results])
    with images_shown([head], x), rois_shown([head], rois, labels):
        yield


def label_logits(head: nn.Module, prediction: Tensor | list[Tensor]) -> Tensor:
    """Return the mask logits, float (R, C, H, W), that a head's prediction amounts to.

    Args:
        head: The mask head.
        prediction: What it returned: logits, or those of the steps of a refinement.
    """
    return head.merge(prediction) if isinstance(head, SeesImages) else prediction


def _seeing(heads: Iterable[nn.Module]) -> list[SeesImages]:
    return [head for head in heads if isinstance(head, SeesImages)]
