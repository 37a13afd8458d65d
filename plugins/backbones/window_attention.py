"""Swin's window attention through torch's fused attention call."""

import torch
from torch import Tensor

from mmdet.models.backbones.swin import ShiftWindowMSA
from plugins.backbones.biased_attention import biased_attention
from plugins.backbones.window_layout import (
    WindowLayout,
    from_windows,
    shift_masks,
    to_windows,
    window_layout,
)


class FusedShiftWindowMSA(ShiftWindowMSA):
    """Stock's attention with the same parameters and numbers, in three steps.

    Queries, keys and values of all windows (:meth:`project`), attention (:meth:`attend`), and back
    to the feature map (:meth:`merge`). ``w_msa`` holds the parameters; stock's formula in it is not
    used.
    """

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Attend inside the windows of a map.

        Args:
            query: Float (B, H * W, C).
            hw_shape: Height and width of the map.

        Returns:
            Float (B, H * W, C).
        """
        layout = self.layout(query, hw_shape)
        return self.merge(self.attend(self.project(query, layout), layout), layout, len(query))

    def layout(self, query: Tensor, hw_shape: tuple[int, int]) -> WindowLayout:
        """Return where the tokens of a float (B, H * W, C) map stand in windows."""
        return window_layout(query, hw_shape, self.window_size, self.shift_size)

    def project(self, query: Tensor, layout: WindowLayout) -> Tensor:
        """Return the packed queries, keys and values, float (windows * N, 3 * C)."""
        return self.w_msa.qkv(to_windows(query.flatten(0, 1), layout))

    def attend(self, qkv: Tensor, layout: WindowLayout) -> Tensor:
        """Return the projected outputs of attention, float (windows * N, C)."""
        msa = self.w_msa
        dropout = msa.attn_drop.p if msa.attn_drop.training else 0.0
        packed = qkv.view(
            -1, self.window_size**2, 3, msa.num_heads, msa.embed_dims // msa.num_heads
        )
        sizes = layout.group_sizes
        groups = packed.split(sizes) if len(sizes) > 1 else (packed,)
        outputs = [
            biased_attention(group, bias, scale=msa.scale, dropout=dropout)
            for group, bias in zip(groups, self._biases().to(qkv.dtype), strict=True)
            if len(group)
        ]
        out = torch.cat(outputs) if len(outputs) > 1 else outputs[0]
        return msa.proj_drop(msa.proj(out.reshape(len(qkv), msa.embed_dims)))

    def merge(self, out: Tensor, layout: WindowLayout, num_images: int) -> Tensor:
        """Return float (windows * N, C) outputs as float (B, H * W, C), with stochastic depth."""
        tokens = from_windows(out, layout)
        return self.drop(tokens.view(num_images, -1, tokens.shape[-1]))

    def _biases(self) -> Tensor:
        """Learned bias by relative position, plus the shift mask of each group of windows.

        Returns:
            Float (groups, heads, N, N).
        """
        table, size = self.w_msa.relative_position_bias_table, self.window_size**2
        bias = table[self.w_msa.relative_position_index.flatten()].view(1, size, size, -1)
        bias = bias.permute(0, 3, 1, 2).contiguous()
        if not self.shift_size:
            return bias
        return bias + shift_masks(self.window_size, self.shift_size, table)[:, None]
