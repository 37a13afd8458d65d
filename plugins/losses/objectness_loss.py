"""An objectness predictor beside any classifier."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.losses.classification_loss import ADDRESS, ClassificationLoss
from plugins.losses.sigmoid_loss import sigmoid_loss


@MODELS.register_module()
class ObjectnessLoss(ClassificationLoss):
    """Another loss, and a parallel sigmoid that tells objects from background.

    Dave et al. 2021, appendix B: one more output of the (possibly normalised) linear layer, binary
    cross entropy over all RoIs, and the score of every class times the sigmoid.

    Args:
        loss_cls: Config of the loss it is added to; one without an objectness of its own.
        objectness_weight: Factor of the added term.
        **kwargs: As in ``ClassificationLoss``.
    """

    has_objectness = True

    def __init__(self, *, loss_cls: dict, objectness_weight: float = 1.0, **kwargs) -> None:
        super().__init__(**kwargs)
        inner = MODELS.build(loss_cls)
        name = type(inner).__name__
        if not isinstance(inner, ClassificationLoss):
            raise UserError(
                f'{ADDRESS}.loss_cls: ObjectnessLoss cannot extend {name}; take one of '
                'plugins/losses, such as SoftmaxLoss for cross entropy'
            )
        if inner.has_objectness:
            raise UserError(
                f'{ADDRESS}.loss_cls: {name} has an objectness of its own; use it without '
                'ObjectnessLoss'
            )
        self.loss_cls = inner
        self.objectness_weight = objectness_weight
        if self.num_classes is not None:
            inner.bind(self.num_classes)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes, also of the inner loss."""
        super().bind(num_classes)
        if 'loss_cls' in self._modules:
            self.loss_cls.bind(num_classes)

    def num_channels(self) -> int:
        """Return one channel more than the inner loss."""
        return self.loss_cls.num_channels() + 1

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Return the inner scores, those of the classes times the objectness."""
        scores = self.loss_cls.get_activation(cls_score[:, :-1])
        is_object = cls_score[:, -1:].float().sigmoid()
        return torch.cat([scores[:, :-1] * is_object, scores[:, -1:]], dim=1)

    def prior_bias(self) -> Tensor | None:
        """Return the inner loss's, and zero for the objectness."""
        bias = self.loss_cls.prior_bias()
        return None if bias is None else F.pad(bias, (0, 1))

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Return the inner loss's terms and ``loss_cls_objectness``."""
        inner = self.loss_cls.compute(logits[:, :-1], labels, weights, normalizer)
        terms = {name: value * self.loss_cls.loss_weight for name, value in inner.items()}
        is_object = (labels < self.num_classes).float()[:, None]
        objectness = sigmoid_loss(logits[:, -1:], is_object, weights[:, None], normalizer)
        return dict(**terms, loss_cls_objectness=objectness * self.objectness_weight)
