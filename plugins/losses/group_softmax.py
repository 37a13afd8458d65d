"""Which class is in which group of balanced group softmax, and which RoIs train a group."""

from typing import NamedTuple

import torch
from torch import Tensor


class Groups(NamedTuple):
    """Groups of classes by their number of training instances; the last is background's.

    Attributes:
        sizes: Logits of each of the G groups: its members and one more for all others (foreground
            groups), or foreground and background (the last group).
        position: int64 (G, K + 1), logit of each label within each group; 0 is 'others', or
            foreground in the last group.
        channel: int64 (K,), logit of each class among all channels.
    """

    sizes: tuple[int, ...]
    position: Tensor
    channel: Tensor


def group_classes(instance_count: Tensor, edges: tuple[int, ...]) -> Groups:
    """Group the classes as in BaGS (Li et al. 2020, section 4): [0, 10), [10, 100), ...

    Args:
        instance_count: (K,), training instances.
        edges: Lower bounds of the second and later groups, increasing.

    Returns:
        ``len(edges) + 2`` groups; classes keep their order within a group.
    """
    num_classes = len(instance_count)
    # right=True: a count equal to an edge belongs to the upper group.
    group_of = torch.bucketize(
        instance_count, torch.tensor(edges, device=instance_count.device), right=True
    )
    num_groups = len(edges) + 2
    position = instance_count.new_zeros((num_groups, num_classes + 1), dtype=torch.int64)
    channel = instance_count.new_zeros(num_classes, dtype=torch.int64)
    sizes = []
    for group in range(num_groups - 1):
        members = (group_of == group).nonzero().squeeze(1)
        places = torch.arange(1, len(members) + 1, device=members.device)
        position[group, members] = places
        channel[members] = sum(sizes) + places
        sizes.append(len(members) + 1)
    position[-1, num_classes] = 1
    return Groups((*sizes, 2), position, channel)


def choose_rows(
    is_member: Tensor, weights: Tensor, beta: float, generator: torch.Generator
) -> Tensor:
    """Choose the RoIs that train a foreground group.

    Args:
        is_member: bool (N,), RoIs of the group's own classes.
        weights: float (N,); RoIs of weight 0 are never chosen.
        beta: Others per member.
        generator: On the device of the tensors.

    Returns:
        bool (N,): all members and ``floor(beta * members)`` others at random, or as many as there
        are; none if there is no member.
    """
    is_member = is_member & (weights > 0)
    order = torch.rand(len(weights), generator=generator, device=weights.device)
    order = order.masked_fill(weights <= 0, 2.0).masked_fill(is_member, -1.0)
    place = torch.empty_like(order, dtype=torch.int64)
    place[order.argsort()] = torch.arange(len(order), device=order.device)
    num_members = is_member.sum()
    num_chosen = num_members + (beta * num_members).floor()
    return (place < num_chosen) & (weights > 0)
