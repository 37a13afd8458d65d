"""The branch that holds a second classifier."""

from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmdet.registry import MODELS


class SecondClassifier(BaseModule):
    """Hidden layers and a predictor, initialised as those of a box head.

    Args:
        in_features: Width of the input.
        hidden_fcs: Number of hidden layers; 1 and 2 are ``2fc`` and ``3fc`` of SimCal.
        width: Width of the hidden layers.
        channels: Number of logits.
        cls_predictor_cfg: Config of the predictor, such as ``dict(type='Linear')``.
    """

    def __init__(
        self,
        *,
        in_features: int,
        hidden_fcs: int,
        width: int,
        channels: int,
        cls_predictor_cfg: dict,
    ) -> None:
        hidden = dict(type='Xavier', distribution='uniform', override=dict(name='fcs'))
        predictor = dict(type='Normal', std=0.01, override=dict(name='fc_cls'))
        super().__init__(init_cfg=[hidden, predictor])
        widths = [in_features, *[width] * hidden_fcs]
        self.fcs = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        sizes = dict(in_features=widths[-1], out_features=channels)
        self.fc_cls = MODELS.build({**cls_predictor_cfg, **sizes})

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits, float (N, channels), from features, float (N, in_features)."""
        for fc in self.fcs:
            features = F.relu(fc(features), inplace=True)
        return self.fc_cls(features)
