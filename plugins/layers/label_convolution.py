"""One channel of a class-wise 1 x 1 convolution per sample: that of the sample's label.

With C classes the convolution of a mask head makes C maps per RoI, of which one is used. Gathering
that one's weights first makes the work and the memory of the layer independent of C.
"""

from collections.abc import Callable

import torch
from mmcv.cnn import Conv2d
from torch import Tensor, nn

from mmdet.models.layers import NormedConv2d
from plugins.layers.normalized_conv2d import NormalizedConv2d
from plugins.layers.rectified_label_convolution import RectifiedLabelConvolution
from plugins.layers.unit_vectors import unit_vectors


def knows_label_channels(predictor: nn.Module) -> bool:
    """Return whether ``label_channel`` can stand in for a layer.

    It can for the plain and the two normalised convolutions of 1 x 1 pixels. A class derived from
    them may compute anything, and hooks want to see all channels.
    """
    return (
        type(predictor) in _OPERANDS
        and predictor.kernel_size == predictor.stride == (1, 1)
        and predictor.padding == (0, 0)
        and predictor.groups == 1
        and not predictor._forward_hooks
        and not predictor._forward_pre_hooks
    )


def label_channel(
    predictor: nn.Conv2d, features: Tensor, labels: Tensor, *, rectify: bool = False
) -> Tensor:
    """Compute ``predictor(features)[n, labels[n]]`` without the other channels.

    The gradient of the predictor's weight is an index-add over the labels: zero where there are no
    samples.

    Args:
        predictor: A layer for which ``knows_label_channels`` holds, D to C channels.
        features: Float (N, D, H, W).
        labels: Int64 (N,), in [0, C).
        rectify: Whether to apply a relu to the features first. It takes less memory than one of its
            own in training; otherwise it overwrites the features.

    Returns:
        Float (N, H, W), equal to the layer's own output to the rounding of a sum of D products.
    """
    operands = _OPERANDS[type(predictor)]
    rows = predictor.weight.flatten(1)[labels]
    trains = torch.is_grad_enabled() and (features.requires_grad or rows.requires_grad)
    if rectify and trains and operands is _plain:
        logits = RectifiedLabelConvolution.apply(features, rows)
    else:
        features, rows = operands(predictor, features.relu_() if rectify else features, rows)
        logits = torch.bmm(rows[:, None], features.flatten(2))
        logits = logits.view(len(features), *features.shape[2:])
    if predictor.bias is None:
        return logits
    return logits + predictor.bias[labels].to(logits.dtype)[:, None, None]


def _plain(predictor: nn.Conv2d, features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    return features, rows


def _normalized(
    predictor: NormalizedConv2d, features: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor]:
    return unit_vectors(features) * predictor.temperature, unit_vectors(rows)


def _normed(predictor: NormedConv2d, features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    lengths, feature_lengths = (
        values.norm(dim=1, keepdim=True).pow(predictor.power) + predictor.eps
        for values in (rows, features)
    )
    # The keyword of mmdet's class is spelt so.
    return features / feature_lengths * predictor.tempearture, rows / lengths


_OPERANDS: dict[type, Callable[[nn.Conv2d, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    nn.Conv2d: _plain,
    Conv2d: _plain,  # what the name Conv means in a config
    NormalizedConv2d: _normalized,
    NormedConv2d: _normed,
}
