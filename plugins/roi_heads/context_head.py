"""What the whole image is about, for the RoI heads."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmdet.models.roi_heads.mask_heads import GlobalContextHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample, SampleList
from plugins.errors import UserError
from plugins.roi_heads.pyramid_level import pyramid_level

TARGETS = ('all', 'federated')


@MODELS.register_module()
class FederatedContextHead(GlobalContextHead):
    """Global context encoder: one vector per image, taught by the classes in the image.

    The context encoding branch of HTC-Lite (MMDet team 2020, section 1.2), which replaces HTC's
    semantic branch: convolutions and global average pooling make the vector; a linear layer
    predicts from it which classes occur (the semantic encoding loss of Zhang et al. 2018). Layers
    and parameter names are those of mmdet's head.

    Args:
        targets: ``'all'`` takes every class without an object in the image for absent, as mmdet
            does; ``'federated'`` only those that the annotators looked for in vain
            (``neg_labels``, which ``PackFederatedInputs`` keeps): of other classes LVIS does not
            know, and they do not count.
        level: Number of the level of the feature pyramid; -1 is the coarsest.
        loss_weight: Of the loss. The report states none; 3.0 is that of SCNet (Vu et al. 2021).
        **kwargs: As in ``GlobalContextHead``.

    Raises:
        UserError: ``targets`` is neither.
    """

    def __init__(
        self, *, targets: str = 'all', level: int = -1, loss_weight: float = 3.0, **kwargs
    ) -> None:
        if targets not in TARGETS:
            raise UserError(f'roi_head.context_head.targets is {targets!r}; it can be {TARGETS}')
        super().__init__(loss_weight=loss_weight, **kwargs)
        self.targets = targets
        self.level = level

    def forward(self, feats: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Encode images.

        Args:
            feats: Feature pyramid, float (N, C, h, w) each.

        Returns:
            Logits of the classes, float (N, num_classes), and vectors, float (N, C').

        Raises:
            UserError: The pyramid has no such level.
        """
        level = pyramid_level(feats, self.level, 'roi_head.context_head.level')
        logits, vectors = super().forward((level,))
        return logits, vectors.flatten(1)

    def loss(self, pred: Tensor, samples: SampleList) -> Tensor:
        """Compute the semantic encoding loss.

        Args:
            pred: Logits, float (N, num_classes).
            samples: The images, as augmentation left them: labels of ``gt_instances``, and with
                ``targets='federated'`` the metainfo ``neg_labels``.

        Returns:
            Float32 (), the mean over the classes that count.

        Raises:
            UserError: ``neg_labels`` are needed and missing.
        """
        present = torch.zeros_like(pred, dtype=torch.float32)
        for row, sample in zip(present, samples, strict=True):
            row[sample.gt_instances.labels] = 1.0
        counted = torch.ones_like(present)
        if self.targets == 'federated':
            counted = torch.maximum(present, _looked_for(present, samples))
        loss = F.binary_cross_entropy_with_logits(pred.float(), present, counted, reduction='sum')
        return self.loss_weight * loss / counted.sum().clamp(min=1.0)


def _looked_for(like: Tensor, samples: SampleList) -> Tensor:
    """Return 1 for every class that is known to be absent from an image, (N, num_classes)."""
    absent = torch.zeros_like(like)
    for row, sample in zip(absent, samples, strict=True):
        row[torch.as_tensor(_neg_labels(sample), dtype=torch.long, device=like.device)] = 1.0
    return absent


def _neg_labels(sample: DetDataSample) -> list[int]:
    if 'neg_labels' not in sample.metainfo:
        raise UserError(
            "roi_head.context_head.targets='federated' needs to know which classes an image was "
            'searched for: take an LVISFormatDataset, and PackFederatedInputs as the last step of '
            'train_pipeline'
        )
    return sample.metainfo['neg_labels']
