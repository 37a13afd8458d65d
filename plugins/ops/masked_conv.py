"""Convolution at chosen pixels only (guided anchoring); mmcv defines no gradient for it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Gather the neighbourhood of each chosen output pixel.

    Args:
        im: float (1, C, H, W).
        mask_h_idx: int64 (P,), row of each chosen output pixel.
        mask_w_idx: int64 (P,), its column.
        col: Filled: float (C * kernel_h * kernel_w, P).
        kernel_h: Kernel height.
        kernel_w: Kernel width.
        pad_h: Zero padding above and below.
        pad_w: Zero padding left and right.
    """
    padded = F.pad(im[0], (pad_w, pad_w, pad_h, pad_h))
    rows = mask_h_idx + torch.arange(kernel_h, device=im.device)[:, None, None]
    columns = mask_w_idx + torch.arange(kernel_w, device=im.device)[:, None]
    col.copy_(padded[:, rows, columns].reshape(col.shape))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write one column of values to each chosen pixel.

    Args:
        col: float (C, P).
        mask_h_idx: int64 (P,), row of each pixel.
        mask_w_idx: int64 (P,), its column.
        im: Filled at those pixels: float (1, C, height, width).
        height: Rows of ``im``; its shape says the same, as for the next two.
        width: Columns of ``im``.
        channels: Channels of ``im``.
    """
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im.dtype)
