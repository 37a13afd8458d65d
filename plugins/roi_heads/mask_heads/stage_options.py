"""Which options of a refining mask head fit each other."""

from collections.abc import Sequence
from itertools import pairwise

from plugins.errors import UserError


def check_stages(
    sizes: Sequence[int],
    start_stage: int,
    class_wise: Sequence[bool],
    loss_weights: Sequence[float],
) -> None:
    """Check what is said of the stages, see ``StagedMaskHead``.

    Raises:
        UserError: Sizes do not double, a list has another length, or there is no start stage.
    """
    if len(sizes) < 2 or any(b != 2 * a for a, b in pairwise(sizes)):
        raise UserError(
            f'mask_head.stage_sizes is {list(sizes)}; it must have two sizes or more, each twice '
            'the one before'
        )
    for key, values in dict(class_wise_stages=class_wise, stage_loss_weights=loss_weights).items():
        if len(values) != len(sizes):
            raise UserError(
                f'mask_head.{key} has {len(values)} entries, but mask_head.stage_sizes has '
                f'{len(sizes)}'
            )
    if not 0 <= start_stage < len(sizes):
        raise UserError(
            f'mask_head.start_stage is {start_stage}; it must be from 0 to {len(sizes) - 1}'
        )


def stage_widths(channels: int, num_stages: int, num_scores: int) -> list[int]:
    """Return the channels of the features of every stage, each half of those before.

    Args:
        channels: Of the first stage.
        num_stages: How many there are.
        num_scores: How many of the channels are not learned, from the second stage on.

    Raises:
        UserError: They cannot be halved so often, or nothing would be left to learn.
    """
    divisor = 2 ** (num_stages - 1)
    if channels % divisor or channels // divisor <= num_scores:
        raise UserError(
            f'mask_head.conv_out_channels is {channels}; with {num_stages} stages it must be a '
            f'multiple of {divisor}, {divisor * (num_scores + 1)} or more'
        )
    return [channels >> stage for stage in range(num_stages)]
