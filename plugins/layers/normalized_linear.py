"""A classifier that compares directions: cosine times temperature, plus bias."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmdet.registry import MODELS
from plugins.layers.unit_vectors import check_temperature, unit_vectors


def normalized_linear(x: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    """Compute tau * <w_c, x> / (|w_c| |x|) + b_c (figure 5 of Dave et al. 2021).

    Args:
        x: Float (N, D).
        weight: Float (C, D), one row per output.
        bias: Float (C,), or None.
        temperature: tau > 0.

    Returns:
        Float (N, C), within ``temperature`` of the bias; the bias itself where ``x`` is zero.
    """
    return F.linear(unit_vectors(x) * temperature, unit_vectors(weight), bias)


@MODELS.register_module()
class NormalizedLinear(nn.Linear):
    """Linear layer on unit vectors, for ``bbox_head.cls_predictor_cfg``.

    Frequent classes get longer weight vectors in training and win by length; here only the angle
    counts (Seesaw Loss, section 3.3; Dave et al. 2021, appendix B). Stock has the same layer under
    a misspelt keyword and without care for half precision.

    Args:
        in_features: D.
        out_features: C.
        temperature: tau: 20 with softmax losses, BaGS and Seesaw, 50 with sigmoid losses.
        **kwargs: As in ``torch.nn.Linear``.

    Raises:
        UserError: The temperature is not above zero.
    """

    def __init__(
        self, in_features: int, out_features: int, temperature: float = 20.0, **kwargs
    ) -> None:
        self.temperature = check_temperature(temperature, 'cls_predictor_cfg')
        super().__init__(in_features, out_features, **kwargs)

    def reset_parameters(self) -> None:
        """Draw the weights from N(0, 0.01) and set the bias to zero."""
        nn.init.normal_(self.weight, std=0.01)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, C) logits from (N, D) features, see ``normalized_linear``."""
        return normalized_linear(x, self.weight, self.bias, self.temperature)

    def extra_repr(self) -> str:
        """Add the temperature to what ``print`` shows."""
        return f'{super().extra_repr()}, temperature={self.temperature}'
