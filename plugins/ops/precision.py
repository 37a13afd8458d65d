"""Number types and ranges inside the operators."""

import torch
from torch import Tensor


def widened(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one common floating type of at least 32 bits.

    float16 and bfloat16 become float32 (torchvision's CPU kernels know no half types), float64
    stays; the in-place copy into the caller's buffer rounds the result back.

    Args:
        tensors: Any shapes and real types, at least one.

    Returns:
        One tensor per argument, the argument itself where nothing had to change.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return tuple(tensor.to(dtype) for tensor in tensors)


def bounded(offset: Tensor) -> Tensor:
    """Offsets in feature pixels that are safe to convert to integers.

    torchvision's kernels compare with "outside", which NaN is not, and read memory at the index
    made of it. Compiled mmcv reads zero there, as everywhere far outside the map.

    Args:
        offset: float, any shape.

    Returns:
        The same with values in [-1e6, 1e6]; NaN becomes 1e6.
    """
    return offset.nan_to_num(nan=1e6).clamp(-1e6, 1e6)
