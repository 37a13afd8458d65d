"""Blocks of Swin of both engines with the same weights, and what a training step of them takes."""

import ctypes
from typing import TYPE_CHECKING

from tools.benchmarks.devices import synchronize

if TYPE_CHECKING:
    from torch import Tensor, nn

WINDOW = 7
HEAD_WIDTH = 32
M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
TOLERANCE = 1e-5  # of the norm: float32 sums of thousands of terms in another order


def return_memory_at_once() -> None:
    """Let the C library give back every freed tensor, or its gaps would hide what is in use.

    For items about memory: fetching every tensor anew takes time, most where most is kept.
    """
    tune = getattr(ctypes.CDLL(None), 'mallopt', None)
    if tune is not None:
        tune(M_MMAP_THRESHOLD, 2**16)


def make_blocks(width: int, depth: int, **options) -> 'nn.Module':
    """A stage of Swin in training mode, stock's or with the options of ``FusedSwinTransformer``.

    Args:
        width: Channels.
        depth: Blocks; every second one is shifted.
        **options: ``fused`` and ``lean`` of ``FusedSwinBlock.adopt``, for stock none; ``with_cp``.
    """
    import torch

    import plugins  # noqa: F401 mmdet imports mmcv.ops
    from mmdet.models.backbones.swin import SwinBlockSequence
    from plugins.backbones.fused_swin_block import FusedSwinBlock

    torch.manual_seed(0)
    with_cp = options.pop('with_cp', False)
    stage = SwinBlockSequence(
        width, width // HEAD_WIDTH, 4 * width, depth, WINDOW, drop_path_rate=0.1, with_cp=with_cp
    )
    for block in stage.blocks:
        torch.nn.init.normal_(block.attn.w_msa.relative_position_bias_table)
        if options:
            FusedSwinBlock.adopt(block, **options)
    return stage.train()


def make_tokens(width: int, size: tuple[int, int], device: str = 'cpu') -> 'Tensor':
    """Tokens of one image, (1, H * W, C), the same in every call."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, size[0] * size[1], width, generator=generator).to(device)


def train_step(model: 'nn.Module', tokens: 'Tensor', size: tuple[int, int]) -> 'dict[str, Tensor]':
    """Forward and backward of a module of tokens; its output and all gradients by name."""
    import torch

    model.zero_grad()
    torch.manual_seed(1)
    tokens = tokens.detach().requires_grad_()
    out = model(tokens, size)
    out = out[0] if isinstance(out, tuple) else out
    out.backward(tokens.detach() / len(tokens[0]))
    synchronize(tokens)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return dict(gradients, output=out.detach(), input=tokens.grad)


def predict(model: 'nn.Module', tokens: 'Tensor', size: tuple[int, int]) -> 'dict[str, Tensor]':
    """Forward alone, without stochastic depth."""
    import torch

    model.eval()
    with torch.no_grad():
        out = model(tokens, size)
    synchronize(tokens)
    return dict(output=out)


def same_tensors(ours: 'dict[str, Tensor]', stock: 'dict[str, Tensor]') -> bool:
    """Whether all tensors agree to the rounding of float32 sums."""
    return ours.keys() == stock.keys() and all(
        bool((ours[name] - value).norm() <= TOLERANCE * value.norm())
        for name, value in stock.items()
        # Nothing depends on the bias of the keys: its gradient is rounding alone.
        if not name.endswith('qkv.bias')
    )


def kept_values(model: 'nn.Module', tokens: 'Tensor', size: tuple[int, int]) -> float:
    """Values that a forward pass keeps for the backward pass, per token and channel.

    Every piece of memory counts once, parameters not at all: the same on all devices.
    """
    import torch

    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(value: 'Tensor') -> 'Tensor':
        kept[value.untyped_storage().data_ptr()] = value
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model(tokens.detach().requires_grad_(), size)
    total = sum(
        value.untyped_storage().nbytes() for key, value in kept.items() if key not in parameters
    )
    return total / tokens.nbytes
