"""The down-sampler of the enhanced FPG: reassembly by predicted kernels, then a convolution."""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import normal_init, xavier_init
from torch import Tensor, nn

from mmdet.models.necks.fpg import Transition
from plugins.errors import UserError
from plugins.necks.carafe_downsample import STRIDE, carafe_downsample

# Standard deviation of the encoder's first weights, as in the up-sampler: kernels start as means.
ENCODER_STD = 0.001


class CarafeDownsampleConv(Transition):
    """A transition of a feature pyramid grid that halves height and width, rounding up.

    The down-sampling version of CARAFE in the FPG of the MMDet team (2020), which mirrors
    ``UpInterpolationConv``: resample, then refine. A 1x1 convolution compresses the channels, a
    3x3 convolution of stride 2 predicts the kernels, and their softmax weighs the pixels.

    Args:
        in_channels: C of the finer level.
        out_channels: C of the coarser level.
        down_kernel: Odd width k of the predicted kernels, pixels of the finer level.
        down_group: Channel groups with kernels of their own.
        compressed_channels: Channels that the kernels are predicted from.
        kernel_size: Odd width of the convolution that follows.
        init_cfg: As in ``BaseModule``.
        **kwargs: Of that convolution, a ``ConvModule``.

    Raises:
        UserError: A kernel has an even width, or the groups do not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        down_kernel: int = 5,
        down_group: int = 1,
        compressed_channels: int = 64,
        kernel_size: int = 3,
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(in_channels, out_channels, init_cfg)
        for key, width in dict(down_kernel=down_kernel, kernel_size=kernel_size).items():
            if width < 1 or width % 2 == 0:
                raise UserError(
                    f'neck.same_up_trans.{key} is {width}; a kernel around a pixel has an odd width'
                )
        if down_group < 1 or in_channels % down_group:
            raise UserError(
                f'neck.same_up_trans.down_group is {down_group}; it must divide the '
                f'{in_channels} channels of the level (neck.inter_channels)'
            )
        self.down_kernel = down_kernel
        self.down_group = down_group
        self.channel_compressor = nn.Conv2d(in_channels, compressed_channels, 1)
        self.content_encoder = nn.Conv2d(
            compressed_channels, down_group * down_kernel**2, 3, stride=STRIDE, padding=1
        )
        self.conv = ConvModule(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, **kwargs
        )
        self.reset_kernels()

    def reset_kernels(self) -> None:
        """Draw the layers that predict the kernels as CARAFE does: kernels are almost uniform."""
        xavier_init(self.channel_compressor, distribution='uniform')
        normal_init(self.content_encoder, std=ENCODER_STD)

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, out_channels, ceil(H / 2), ceil(W / 2)) of (N, in_channels, H, W)."""
        return self.conv(
            carafe_downsample(x, self._predict_kernels(x), self.down_kernel, self.down_group)
        )

    def _predict_kernels(self, x: Tensor) -> Tensor:
        """Return kernels that sum to one, float32 (N, groups * k * k, ceil(H / 2), ceil(W / 2))."""
        encoded = self.content_encoder(self.channel_compressor(x))
        by_group = encoded.unflatten(1, (self.down_group, self.down_kernel**2))
        return by_group.softmax(dim=2, dtype=_at_least_float32(encoded.dtype)).flatten(1, 2)


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)
