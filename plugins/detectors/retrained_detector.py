"""The second phase of training: a few layers of a trained detector learn on."""

import zlib
from collections.abc import Sequence

import torch
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from plugins.detectors.trained_layers import freeze_all_but, hold_frozen, is_in, trains
from plugins.errors import UserError


@MODELS.register_module()
class RetrainedDetector(TwoStageDetector):
    """Any two-stage detector of which only some layers train, starting from ``load_from``.

    Retraining a classifier with another sampler (Dave et al. 2021, section 5; the LVIS baselines of
    2021), fine-tuning a second one (MMDet team 2020) and calibrating it (SimCal, Wang et al. 2020)
    are this with different ``trained``, samplers and box heads. It serves Mask R-CNN, Cascade R-CNN
    and HTC, whose detectors differ in their RoI heads only.

    Frozen parts stay in eval mode and run without gradients; losses that train nothing are not
    computed, or left out. Predictions are those of the plain detector.

    Args:
        trained: Dotted names of the modules that train. Without the numbers of stages a name means
            all stages: ``'roi_head.bbox_head.fc_cls'``.
        reinitialize: The trained layers start anew: their weights in the checkpoint of phase 1 are
            not taken. Checkpoints of this phase itself (the same ``trained``) are loaded whole, to
            resume or to test.
        **kwargs: As in ``TwoStageDetector``.
    """

    def __init__(self, *, trained: Sequence[str], reinitialize: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        # Here, not at the start of training: distributed training looks when it wraps the model.
        freeze_all_but(self, trained)
        self.trained = tuple(trained)
        self.reinitialize = reinitialize
        self._has_weights = False
        self._left_out: list[str] = []
        phase = zlib.crc32(' '.join(sorted(self.trained)).encode())
        self.register_buffer('retraining_phase', torch.tensor(phase))
        self.register_load_state_dict_post_hook(_expect_left_out)
        # Hooks that look before the first step find the frozen parts at rest.
        self.train()

    def train(self, mode: bool = True) -> 'RetrainedDetector':
        """Switch between training and evaluation; frozen parts are never in training mode."""
        super().train(mode)
        if mode:
            hold_frozen(self)
        return self

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps as stock does, without gradients if nothing there trains."""
        if self._body_trains():
            return super().extract_feat(batch_inputs)
        with torch.no_grad():
            return super().extract_feat(batch_inputs)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: SampleList
    ) -> dict[str, Tensor | list[Tensor]]:
        """Compute the losses that train something, and the accuracies beside them.

        Args:
            batch_inputs: Images, float (N, 3, H, W).
            batch_data_samples: Their annotations.

        Raises:
            UserError: No weights were loaded.
        """
        if not self._has_weights:
            raise UserError(
                'RetrainedDetector needs the weights of a trained detector: set load_from to the '
                'checkpoint of phase 1 (or resume this phase)'
            )
        if not self.with_rpn or trains(self.rpn_head) or self._body_trains():
            losses = super().loss(batch_inputs, batch_data_samples)
        else:
            x = self.extract_feat(batch_inputs)
            proposals = self._propose(x, batch_data_samples)
            losses = self.roi_head.loss(x, proposals, batch_data_samples)
        return {n: value for n, value in losses.items() if 'loss' not in n or _trains_by(value)}

    def _body_trains(self) -> bool:
        return trains(self.backbone) or (self.with_neck and trains(self.neck))

    def _propose(self, x: tuple[Tensor, ...], batch_data_samples: SampleList) -> list[InstanceData]:
        """Return the proposals of training, without the loss that stock computes beside them."""
        cfg = self.train_cfg.get('rpn_proposal', self.test_cfg.rpn)
        metas = [sample.metainfo for sample in batch_data_samples]
        with torch.no_grad():
            return self.rpn_head.predict_by_feat(*self.rpn_head(x), batch_img_metas=metas, cfg=cfg)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        key = f'{prefix}retraining_phase'
        is_own = key in state_dict and int(state_dict[key]) == int(self.retraining_phase)
        # What this phase saves is of this phase, wherever its weights come from.
        state_dict[key] = self.retraining_phase.clone()
        names = [name for name in state_dict if is_in(name.removeprefix(prefix), self.trained)]
        self._left_out = names if self.reinitialize and not is_own else []
        for name in self._left_out:
            del state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._has_weights = True


def _trains_by(value: Tensor | list[Tensor]) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return any(v.requires_grad for v in values)


def _expect_left_out(detector: RetrainedDetector, incompatible: object) -> None:
    """Take what was left out on purpose off the list of what is missing, and say so."""
    for name in detector._left_out:
        if name in incompatible.missing_keys:
            incompatible.missing_keys.remove(name)
    if detector._left_out:
        print_log(
            f'{len(detector._left_out)} tensors of the trained layers start anew, first '
            f'{detector._left_out[0]}',
            logger='current',
        )
    detector._left_out = []
