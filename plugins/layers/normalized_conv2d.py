"""The normalised classifier at every position of a feature map, for mask logits."""

from torch import Tensor, nn

from mmdet.registry import MODELS
from plugins.layers.unit_vectors import check_temperature, unit_vectors


@MODELS.register_module()
class NormalizedConv2d(nn.Conv2d):
    """Convolution on unit vectors, for ``mask_head.predictor_cfg``.

    ``NormalizedLinear`` at every position: the feature vector of each position and the weight
    vector of each kernel tap have length one (Seesaw Loss, section 3.3). With the 1 x 1 kernel of
    a mask head the logits stay within ``temperature`` of the bias. Inside ``FCNMaskHead`` the
    initial weights are those that the head gives every predictor.

    Args:
        in_channels: D.
        out_channels: C.
        kernel_size: Side of the kernel in pixels.
        temperature: tau > 0.
        **kwargs: As in ``torch.nn.Conv2d``, without groups.

    Raises:
        UserError: The temperature is not above zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        temperature: float = 20.0,
        **kwargs,
    ) -> None:
        self.temperature = check_temperature(temperature, 'mask_head.predictor_cfg')
        super().__init__(in_channels, out_channels, kernel_size, **kwargs)

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 0.01) and set the bias to zero."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, C, H, W) logits from (N, D, H, W) features."""
        return self._conv_forward(
            unit_vectors(x) * self.temperature, unit_vectors(self.weight), self.bias
        )

    def extra_repr(self) -> str:
        """Add the temperature to what ``print`` shows."""
        return f'{super().extra_repr()}, temperature={self.temperature}'
