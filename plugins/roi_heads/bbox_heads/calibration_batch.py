"""The proposal level of SimCal: which RoIs a classifier is calibrated on."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

MATCHES = ('own', 'union')


def compose_calibration_batch(
    labels: Tensor,
    image_index: Tensor,
    sampled_labels: Tensor,
    *,
    num_classes: int,
    match: str,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Keep the foreground of the drawn classes, and as much background.

    Section 4 of SimCal (Wang et al. 2020): every image was drawn for a class, and of its foreground
    RoIs only those of that class are kept; a random part of the background RoIs of the whole batch,
    equal in number, joins them (all of it, if that is less).

    Args:
        labels: int64 (N,), in [0, K]; K is background.
        image_index: Image of every RoI, int64 (N,), in [0, I).
        sampled_labels: Class every image was drawn for, int64 (I,); -1 for none.
        num_classes: K.
        match: 'own' keeps RoIs of their own image's class (the published code), 'union' those of
            any class drawn in the batch (another reading of the paper).
        generator: Draws the background; torch's own if None.

    Returns:
        float (N,): 1 for the kept RoIs, 0 for the others.
    """
    is_background = labels == num_classes
    if match == 'own':
        is_drawn = labels == sampled_labels[image_index]
    else:
        is_drawn = torch.isin(labels, sampled_labels)
    is_kept = is_drawn & ~is_background
    # Sorted, not indexed: neither the number of RoIs kept nor that of the others leaves the device.
    noise = torch.rand(len(labels), device=labels.device, generator=generator)
    rank = (noise + ~is_background).argsort().argsort()
    return (is_kept | (is_background & (rank < is_kept.sum()))).float()


def balance_ranks(weights: Tensor) -> Tensor:
    """Let every kept RoI count the same, on whichever rank it is.

    A box head divides its loss by the RoIs with a weight on this rank, and gradients are averaged
    over the ranks, so a RoI on a rank with few of them would count more. The weights returned make
    the average the sum over all ranks divided by the RoIs of all ranks. Every rank must call this.

    Args:
        weights: float (N,), 0 for the RoIs left out.

    Returns:
        float (N,), scaled; the same as ``weights`` on a single rank.
    """
    own = (weights > 0).sum().float()
    total = own.clone()
    all_reduce(total)
    return weights * own * get_world_size() / total.clamp(min=1.0)
