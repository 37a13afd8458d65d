"""Training a detector with the pyramids of all backbones of a composite one."""

import copy
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from plugins.errors import UserError

Losses = dict[str, Tensor | list[Tensor]]


@MODELS.register_module()
class CompositeDetector(TwoStageDetector):
    """Any two-stage detector on a composite backbone, with assistant supervision.

    As in CBNetV2 (Liang et al. 2022, section 3.4) the assistants' pyramids go through the same neck
    and heads as the lead's, and their losses are added; all RoI heads get the lead's proposals. It
    serves Mask R-CNN, Cascade R-CNN and HTC, whose detectors differ in their RoI heads only.
    Predictions are the lead's alone, as those of the plain detector on this backbone.

    What a loss counts (``SyncSeesawLoss``) is counted once per pyramid, what a sampler draws at
    random is drawn for each.

    Args:
        backbone: One that has ``forward_all``.
        pyramid_loss_weights: Factor of the losses of every backbone, assistants first; default 0.5
            for the first and 1 for the others. Accuracies have none.
        **kwargs: As in ``TwoStageDetector``.

    Raises:
        UserError: The backbone is not composite, or there are not as many weights as backbones.
    """

    def __init__(
        self, *, backbone: dict, pyramid_loss_weights: Sequence[float] | None = None, **kwargs
    ) -> None:
        super().__init__(backbone=backbone, **kwargs)
        if not hasattr(self.backbone, 'forward_all'):
            raise UserError(
                f'model.backbone: {backbone["type"]} returns a single pyramid; CompositeDetector '
                f'takes {" or ".join(composite_backbones())}, other detectors take '
                f'{backbone["type"]}'
            )
        count = len(self.backbone.cb_modules)
        if pyramid_loss_weights is None:
            pyramid_loss_weights = (0.5, *[1.0] * (count - 1))
        if not isinstance(pyramid_loss_weights, list | tuple) or len(pyramid_loss_weights) != count:
            raise UserError(
                f'model.pyramid_loss_weights is {pyramid_loss_weights!r} for {count} backbones; '
                'give a list with a weight for each, assistants first, or leave it out'
            )
        self.pyramid_loss_weights = tuple(pyramid_loss_weights)

    def extract_pyramids(self, batch_inputs: Tensor) -> list[tuple[Tensor, ...]]:
        """Compute the feature pyramids of all backbones, the lead's last.

        Args:
            batch_inputs: Images, float (N, 3, H, W).

        Returns:
            Of every backbone what ``extract_feat`` returns of the lead.
        """
        pyramids = self.backbone.forward_all(batch_inputs)
        return [self.neck(maps) if self.with_neck else maps for maps in pyramids]

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> Losses:
        """Compute the losses of all pyramids.

        Args:
            batch_inputs: Images, float (N, 3, H, W).
            batch_data_samples: Their annotations.

        Returns:
            The lead's under the names that the plain detector gives them, those of the assistants
            with ``_assistant1``, ``_assistant2`` and so on at the end.
        """
        *assistants, lead = self.extract_pyramids(batch_inputs)
        # The lead's RPN comes first, for its proposals are everybody's.
        losses, proposals = self._propose(lead, batch_data_samples)
        losses.update(self._rate(lead, proposals, batch_data_samples))
        total = weighted(losses, self.pyramid_loss_weights[-1])
        weights = self.pyramid_loss_weights[:-1]
        for number, (x, weight) in enumerate(zip(assistants, weights, strict=True), 1):
            losses = self._search(x, batch_data_samples)
            losses.update(self._rate(x, proposals, batch_data_samples))
            named = {f'{name}_assistant{number}': value for name, value in losses.items()}
            total.update(weighted(named, weight))
        return total

    def _propose(
        self, x: tuple[Tensor, ...], batch_data_samples: SampleList
    ) -> tuple[Losses, list[InstanceData]]:
        """Return the losses of the RPN and its proposals, or those that came with the images."""
        if not self.with_rpn:
            return {}, [sample.proposals for sample in batch_data_samples]
        cfg = self.train_cfg.get('rpn_proposal', self.test_cfg.rpn)
        losses, proposals = self.rpn_head.loss_and_predict(
            x, without_classes(batch_data_samples), proposal_cfg=cfg
        )
        return _rpn_names(losses), proposals

    def _search(self, x: tuple[Tensor, ...], batch_data_samples: SampleList) -> Losses:
        """Return the losses of the RPN alone."""
        if not self.with_rpn:
            return {}
        return _rpn_names(self.rpn_head.loss(x, without_classes(batch_data_samples)))

    def _rate(
        self,
        x: tuple[Tensor, ...],
        proposals: list[InstanceData],
        batch_data_samples: SampleList,
    ) -> Losses:
        # Stock's RoI heads change the proposals in place.
        return self.roi_head.loss(x, copy.deepcopy(proposals), batch_data_samples)


def composite_backbones() -> list[str]:
    """Return the names of the registered backbones that have ``forward_all``."""
    return sorted(n for n, cls in MODELS.module_dict.items() if hasattr(cls, 'forward_all'))


def weighted(losses: Losses, weight: float) -> Losses:
    """Multiply what mmengine will add up, every entry whose name contains ``loss``."""

    def times(value: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        return value * weight if isinstance(value, Tensor) else [v * weight for v in value]

    return {name: times(v) if 'loss' in name else v for name, v in losses.items()}


def without_classes(batch_data_samples: SampleList) -> SampleList:
    """Return the samples as an RPN wants them: every object is of class 0; nothing is copied."""
    samples = []
    for sample in batch_data_samples:
        instances = sample.gt_instances.new()
        instances.labels = torch.zeros_like(instances.labels)
        samples.append(sample.new())
        samples[-1].gt_instances = instances
    return samples


def _rpn_names(losses: Losses) -> Losses:
    """Keep the losses of an RPN apart from those of the RoI heads, as stock does."""
    return {f'rpn_{n}' if 'loss' in n and 'rpn' not in n else n: v for n, v in losses.items()}
