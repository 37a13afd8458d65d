"""Where the tokens of a feature map stand in the windows that Swin attends in.

Stock pads the map, shifts it, cuts it into windows and builds a mask, in every block and pass. All
of that depends on sizes alone: here it is found once, and then is one copy of rows each way.
"""

import dataclasses
import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Shifted or not, in four stages, makes eight for every size of a batch.
_MOST_LAYOUTS = 64
_MASKED = -100.0  # what stock adds to a logit


@dataclasses.dataclass(frozen=True)
class WindowLayout:
    """Rows of tokens, and rows of windows with N = window * window each.

    Windows that need the same shift mask stand together, in the order of :func:`shift_masks`: a
    group has one mask, however many windows it has.

    Attributes:
        source: int32 (windows * N,), the token of every row; 0 where there is none.
        padding: int64 (P,), the rows outside the map.
        target: int32 (tokens,), the row of every token.
        group_sizes: Windows in each of the four groups; one number if nothing is shifted.
    """

    source: Tensor
    padding: Tensor
    target: Tensor
    group_sizes: tuple[int, ...]


def window_layout(
    tokens: Tensor, hw_shape: tuple[int, int], window: int, shift: int
) -> WindowLayout:
    """Return the layout of a batch of maps, which is computed once for every size.

    Args:
        tokens: (B, H * W, C); its length and device matter, not its values.
        hw_shape: Height H and width W of the maps, in tokens.
        window: Side of a window, in tokens.
        shift: By how many tokens the windows are moved right and down; 0 for none.
    """
    # A fake tensor must not outlive the trace that it belongs to.
    build = _cached_layout if type(tokens) is Tensor else _build_layout
    return build(len(tokens), *hw_shape, window, shift, tokens.device)


def shift_masks(window: int, shift: int, like: Tensor) -> Tensor:
    """Return what keeps apart the parts of a shifted window that are no neighbours in the map.

    Args:
        window: Side of a window; N = window * window.
        shift: As in :func:`window_layout`, 1 or more.
        like: Has the wanted dtype and device.

    Returns:
        (4, N, N) values to add to attention logits, 0 or -100: for inner windows, the last column
        of windows, the last row, and the window in the corner.
    """
    build = _cached_masks if type(like) in (Tensor, nn.Parameter) else _build_masks
    return build(window, shift, like.dtype, like.device)


def to_windows(tokens: Tensor, layout: WindowLayout) -> Tensor:
    """Copy rows of (tokens, C) into (windows * N, C); rows outside the map are 0."""
    return _ToWindows.apply(tokens, layout)


def from_windows(rows: Tensor, layout: WindowLayout) -> Tensor:
    """Copy rows of (windows * N, C) back into (tokens, C)."""
    return _FromWindows.apply(rows, layout)


def _build_layout(
    images: int, height: int, width: int, window: int, shift: int, device: torch.device
) -> WindowLayout:
    rows, columns = -(-height // window), -(-width // window)
    grid = torch.arange(images * height * width, device=device).view(images, height, width)
    beside, below = columns * window - width, rows * window - height
    grid = F.pad(grid, (0, beside, 0, below), value=-1).roll((-shift, -shift), (1, 2))
    windows = grid.view(images, rows, window, columns, window).transpose(2, 3)
    groups = [windows]
    if shift:
        inner, last = slice(0, -1), slice(-1, None)
        groups = [windows[:, r, c] for r in (inner, last) for c in (inner, last)]
    source = torch.cat([group.reshape(-1) for group in groups])
    # In ascending order come the -1 of all padding, then every token once.
    order = source.argsort(stable=True)
    padding, target = order.tensor_split([len(source) - images * height * width])
    sizes = tuple(group.numel() // window**2 for group in groups)
    return WindowLayout(source.clamp(min=0).int(), padding, target.int(), sizes)


def _build_masks(window: int, shift: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    moved = torch.arange(window, device=device) >= window - shift
    inside = torch.zeros_like(moved)
    parts = [
        (2 * rows[:, None] + columns).flatten()
        for rows in (inside, moved)
        for columns in (inside, moved)
    ]
    part = torch.stack(parts)
    return (part[:, :, None] != part[:, None]).to(dtype) * _MASKED


# A tensor made in inference mode could not serve a training step later.
@functools.lru_cache(_MOST_LAYOUTS)
@torch.inference_mode(False)
def _cached_layout(*sizes) -> WindowLayout:
    return _build_layout(*sizes)


@functools.lru_cache(_MOST_LAYOUTS)
@torch.inference_mode(False)
def _cached_masks(*sizes) -> Tensor:
    return _build_masks(*sizes)


def _fill_windows(tokens: Tensor, layout: WindowLayout) -> Tensor:
    return tokens.index_select(0, layout.source).index_fill_(0, layout.padding, 0)


class _ToWindows(torch.autograd.Function):
    """Its gradient is a copy of rows, too; torch's own would add rows to a map of zeros."""

    @staticmethod
    def forward(ctx, tokens: Tensor, layout: WindowLayout) -> Tensor:
        ctx.layout = layout
        return _fill_windows(tokens, layout)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, ctx.layout.target), None


class _FromWindows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, layout: WindowLayout) -> Tensor:
        ctx.layout = layout
        return rows.index_select(0, layout.target)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return _fill_windows(gradient, ctx.layout), None
