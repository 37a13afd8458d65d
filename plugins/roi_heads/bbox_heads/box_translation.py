"""Box deltas that are relative to a translated box, seen from where the box was."""

import torch.nn.functional as F
from torch import Tensor

from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from plugins.errors import UserError

_KEY = 'roi_head.bbox_head.bbox_coder'


def translate_deltas(deltas: Tensor, translation: Tensor, coder: DeltaXYWHBBoxCoder) -> Tensor:
    """Turn deltas of boxes that were moved into deltas of the boxes before they were.

    A box P and P moved by t times its width and height have the same size, so targets and deltas of
    the two differ by t / std in x and y and not at all in the rest. The result means for P what
    ``deltas`` mean for the moved box, gradients to t included.

    Args:
        deltas: Float (R, 4 K), relative to the moved box, of K classes (or 1).
        translation: Float (R, 2), t: to the right in widths of P, and down in heights.
        coder: As ``check_coder`` accepts it.

    Returns:
        Float (R, 4 K), relative to P.
    """
    shift = translation / translation.new_tensor(coder.stds[:2])
    return deltas + F.pad(shift, (0, 2)).repeat(1, deltas.shape[1] // 4)


def check_coder(coder: object) -> None:
    """Raise unless ``translate_deltas`` is exact for a box coder.

    Raises:
        UserError: It encodes otherwise, has means, or clamps centres.
    """
    if type(coder) is not DeltaXYWHBBoxCoder:
        raise UserError(
            f'{_KEY}.type is {type(coder).__name__}, but the TSD head moves boxes by deltas: set '
            "it to 'DeltaXYWHBBoxCoder'"
        )
    if any(mean != 0 for mean in coder.means):
        raise UserError(
            f'{_KEY}.target_means is {list(coder.means)}, but the TSD head needs zeros: leave it '
            'out'
        )
    if coder.add_ctr_clamp:
        raise UserError(
            f'{_KEY}.add_ctr_clamp=True limits how far a box moves, which the TSD head cannot '
            'take into account: leave it out'
        )
