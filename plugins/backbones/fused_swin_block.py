"""A block of Swin that can keep less for the backward pass."""

import functools

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmdet.models.backbones.swin import SwinBlock
from plugins.backbones.window_attention import FusedShiftWindowMSA


class FusedSwinBlock(SwinBlock):
    """Stock's block with the same parameters and numbers.

    Attributes:
        is_lean: Whether the cheap steps are computed again in the backward pass. The block then
            keeps its input, the packed qkv, the sum after attention and the wide layer of the MLP:
            9 values per token and channel, where stock keeps 17.5.
        with_cp: Whether the block as a whole is computed again; it keeps its input alone.
    """

    is_lean: bool

    @classmethod
    def adopt(cls, block: SwinBlock, *, fused: bool, lean: bool) -> None:
        """Turn a block of stock into one of these; weights and their names stay.

        Args:
            block: Changed in place: mmdet's backbone does not let one choose its class of blocks.
            fused: Whether its attention becomes ours as well.
            lean: See ``is_lean``; needs ``fused``.
        """
        block.__class__ = cls
        block.is_lean = lean
        if fused:
            block.attn.__class__ = FusedShiftWindowMSA
        for module in block.ffn.layers.modules() if lean else ():
            # An activation that overwrites its input could not be computed again from it.
            if getattr(module, 'inplace', False):
                module.inplace = False

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Compute the block.

        Args:
            x: Float (B, H * W, C).
            hw_shape: Height and width of the map, in tokens.

        Returns:
            Float (B, H * W, C).
        """
        is_trained = x.requires_grad or any(p.requires_grad for p in self.parameters())
        if not (is_trained and torch.is_grad_enabled()):
            return self._run(x, hw_shape)
        run = self._run_lean if self.is_lean else self._run
        if self.with_cp:
            # The reentrant form would need an x with gradient, which frozen stages do not give,
            # and distributed training does not see its parameters.
            return checkpoint(run, x, hw_shape, use_reentrant=False)
        return run(x, hw_shape)

    def _run(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        x = x + self.attn(self.norm1(x), hw_shape)
        return self.ffn(self.norm2(x), identity=x)

    def _run_lean(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Compute the same in four steps, of which each keeps its input alone.

        Every step ends with a linear layer. Making a step again stops where the input of that
        layer is known: no product of the four layers is computed twice.
        """
        attn, ffn = self.attn, self.ffn
        (widen, *activate), narrow, drop = ffn.layers
        draws = (attn.w_msa.attn_drop, attn.w_msa.proj_drop, drop)
        is_random = self.training and any(module.p > 0 for module in draws)
        step = functools.partial(checkpoint, use_reentrant=False, preserve_rng_state=is_random)

        def finish(hidden: Tensor) -> Tensor:
            for module in activate:
                hidden = module(hidden)
            return narrow(hidden)

        layout = attn.layout(x, hw_shape)
        qkv = step(lambda x: attn.project(self.norm1(x), layout), x)
        x = x + attn.merge(step(attn.attend, qkv, layout), layout, len(x))
        hidden = step(lambda x: widen(self.norm2(x)), x)
        return x + ffn.dropout_layer(drop(step(finish, hidden)))
