"""What every classification loss of a box head has in common."""

import torch
from torch import Tensor, nn

from plugins.errors import UserError

ADDRESS = 'roi_head.bbox_head.loss_cls'


class ClassificationLoss(nn.Module):
    """Base of the classification losses that go to ``roi_head.bbox_head.loss_cls``.

    A loss decides how many logits the classifier has and how they become scores, so that a model is
    tested as it was trained. mmdet's box heads ask for that through three hooks, each behind a
    switch of its own, which stock code reads inconsistently; all three are on here.

    The number of classes is told by the head, which asks for the number of channels; a config does
    not repeat it. A subclass implements ``num_channels``, ``get_activation`` and ``compute``.

    Args:
        num_classes: K foreground classes; the label K is background. Only needed outside of a head.
        loss_weight: Factor of all terms.
    """

    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True
    # The config key of the loss, for messages.
    address = ADDRESS
    # True if the scores hold a probability of being an object of any class.
    has_objectness = False

    def __init__(self, *, num_classes: int | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.num_classes = None
        self.loss_weight = loss_weight
        if num_classes is not None:
            self.bind(num_classes)

    def bind(self, num_classes: int) -> None:
        """Settle the number of classes; buffers that depend on it are made here.

        Raises:
            UserError: It was settled before, to another number.
        """
        if self.num_classes not in (None, num_classes):
            raise UserError(
                f'{ADDRESS}.num_classes={self.num_classes}, but the head has '
                f'num_classes={num_classes}; leave it out of the loss'
            )
        self.num_classes = num_classes

    def get_cls_channels(self, num_classes: int) -> int:
        """Return the number of logits per RoI; called by the head when it builds its classifier."""
        self.bind(num_classes)
        return self.num_channels()

    def num_channels(self) -> int:
        """Return the number of logits per RoI of the bound loss."""
        raise NotImplementedError

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Turn logits, float (N, channels), into scores, float (N, K + 1), background last."""
        raise NotImplementedError

    def compute(
        self, logits: Tensor, labels: Tensor, weights: Tensor, normalizer: Tensor | float
    ) -> dict[str, Tensor]:
        """Compute the terms of the loss.

        Args:
            logits: float32 (N, channels).
            labels: int64 (N,), in [0, K]; K is background.
            weights: float32 (N,), >= 0; 0 takes a RoI out.
            normalizer: What sums over RoIs are divided by: usually the RoIs with a weight.

        Returns:
            Scalars by name, ``loss_weight`` not applied. With N = 0 they are zeros that still
            depend on the logits, for distributed training waits for every gradient.
        """
        raise NotImplementedError

    def prior_bias(self) -> Tensor | None:
        """Return the classifier's initial bias, float (channels,), or None to leave it at zero."""
        return None

    def start_training(self, *, seed: int, resumed: bool) -> None:
        """Prepare for a run.

        Args:
            seed: The same on all ranks.
            resumed: The run continues an interrupted one.
        """

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return ``acc_classes``: percent of foreground RoIs whose best class is theirs."""
        best = self.get_activation(cls_score.detach())[:, :-1].argmax(dim=1)
        is_foreground = labels < self.num_classes
        right = ((best == labels) & is_foreground).sum()
        return dict(acc_classes=100.0 * right / is_foreground.sum().clamp(min=1))

    def forward(
        self,
        cls_score: Tensor,
        labels: Tensor,
        label_weights: Tensor | None = None,
        avg_factor: float | Tensor | None = None,
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """Compute the loss in float32, also under autocast.

        Args:
            cls_score: Logits, float (N, channels).
            labels: int64 (N,), in [0, K]; K is background.
            label_weights: float (N,); all ones if None.
            avg_factor: The RoIs that count; those with a weight if None.
            reduction_override: Only None and 'mean' exist.

        Returns:
            Scalars by name.

        Raises:
            UserError: A label is out of range, or the logits are not those of this loss.
        """
        if reduction_override not in (None, 'mean'):
            raise UserError(f'{type(self).__name__} has no reduction {reduction_override!r}')
        self._check_width(cls_score)
        check_labels(labels, self.num_classes)
        if label_weights is None:
            weights = torch.ones(len(labels), device=labels.device)
        else:
            weights = label_weights.float()
        if avg_factor is None:
            avg_factor = (weights > 0).sum().clamp(min=1)
        terms = self.compute(cls_score.float(), labels, weights, avg_factor)
        return {name: value * self.loss_weight for name, value in terms.items()}

    def _check_width(self, cls_score: Tensor) -> None:
        name = type(self).__name__
        if self.num_classes is None:
            raise UserError(
                f'{name} was never told its number of classes: it belongs into the box head of a '
                f'two-stage detector ({ADDRESS}); one-stage heads do not ask for its channels'
            )
        if cls_score.size(-1) != self.num_channels():
            raise UserError(
                f'{name} needs {self.num_channels()} logits for {self.num_classes} classes, the '
                f'head gives {cls_score.size(-1)}; it belongs into the box head of a two-stage '
                f'detector ({ADDRESS}) and num_classes must be the same everywhere'
            )


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raise unless all labels, int64 (N,), are in [0, K].

    Raises:
        UserError: Names the label found. A GPU is not waited for: there the run ends with a
            device-side assertion instead, at the next synchronisation.
    """
    if labels.is_cuda:
        torch._assert_async(((labels >= 0) & (labels <= num_classes)).all())
        return
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= num_classes:
        raise UserError(
            f'labels from {int(labels.min())} to {int(labels.max())} reach {ADDRESS}, which knows '
            f'the classes 0 to {num_classes - 1} and {num_classes} for background; set '
            'roi_head.bbox_head.num_classes to the number of categories of the data set'
        )


def one_hot(labels: Tensor, num_columns: int) -> Tensor:
    """Targets, float32 (N, num_columns): 1 at the label, all 0 for labels beyond the columns.

    ``F.one_hot`` would make a GPU wait, to look at the largest label.
    """
    columns = torch.arange(num_columns, device=labels.device)
    return (labels[:, None] == columns).float()


def foreground_rows(
    logits: Tensor, labels: Tensor, weights: Tensor, num_classes: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Leave out background RoIs: drop them on a CPU, give them weight 0 on a GPU.

    Dropping rows saves most of the work, but a GPU would have to wait for their number.

    Args:
        logits: float (N, K), the foreground columns.
        labels: int64 (N,), in [0, K].
        weights: float (N,).
        num_classes: K.

    Returns:
        Logits, labels in [0, K) and weights of the remaining rows.
    """
    is_foreground = labels < num_classes
    if logits.is_cuda:
        return logits, labels.clamp(max=num_classes - 1), weights * is_foreground
    return logits[is_foreground], labels[is_foreground], weights[is_foreground]
