"""A second classifier for the box heads of mmdet."""

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from plugins.detectors.trained_layers import trains
from plugins.errors import UserError
from plugins.losses.two_classifier_loss import TwoClassifierLoss
from plugins.roi_heads.bbox_heads.calibration_batch import (
    MATCHES,
    balance_ranks,
    compose_calibration_batch,
)
from plugins.roi_heads.bbox_heads.second_classifier import SecondClassifier
from plugins.roi_heads.prior_bias import write_prior_bias

_KEY = 'roi_head.bbox_head.second_classifier'
_DEFAULTS = dict(
    hidden_fcs=0,
    init='random',
    merge='average',
    threshold=300,
    match=None,
    loss_cls=None,
    cls_predictor_cfg=None,
    counts=None,
)


class TwoClassifiers:
    """Put before a ``ConvFCBBoxHead`` among the bases: a second classifier beside ``fc_cls``.

    The logits of both stand side by side, so whatever a model does with logits (averaging over the
    stages of a cascade, views of an image) happens to each part; ``TwoClassifierLoss`` trains the
    second and merges the scores. With ``RetrainedDetector`` and
    ``trained=['roi_head.bbox_head.second_classifier']`` nothing else changes.

    Args:
        second_classifier: A dict with

            - ``hidden_fcs``: own hidden layers on the RoI feature (1 and 2 are ``2fc`` and ``3fc``
              of SimCal, Wang et al. 2020); 0 is a predictor on the features of ``fc_cls`` (MMDet
              team 2020).
            - ``init``: 'random', or 'copy' to start as the original when its weights are loaded
              (``3fc_ft`` with ``hidden_fcs=2``).
            - ``merge``, ``threshold``, ``counts``: as in ``TwoClassifierLoss``.
            - ``match``: None trains on all sampled RoIs, 'own' or 'union' on those that
              ``compose_calibration_batch`` keeps; needs ``ClassDrawRoISampler``.
            - ``loss_cls``, ``cls_predictor_cfg``: configs; the same as the head's if None.
        loss_cls: Loss of the original classifier.
        **kwargs: Of the head.
    """

    # The head's layers that the second classifier stands beside.
    original_classifier = 'fc_cls'
    original_fcs = 'shared_fcs'

    def __init__(self, *args, second_classifier: dict, loss_cls: dict, **kwargs) -> None:
        super().__init__(*args, loss_cls=loss_cls, **kwargs)
        options = _read_options(second_classifier)
        self.match = options['match']
        self._draws_seen = False
        self.loss_cls = TwoClassifierLoss(
            original=self.loss_cls,
            second=MODELS.build(options['loss_cls'] or loss_cls),
            **{key: options[key] for key in ('merge', 'threshold', 'counts')},
        )
        self.loss_cls.bind(self.num_classes)
        self._add_branch(options['hidden_fcs'], options['cls_predictor_cfg'])
        self._copied = self._copied_layers(options) if options['init'] == 'copy' else {}

    def _add_branch(self, hidden_fcs: int, cls_predictor_cfg: dict | None) -> None:
        """Make the second branch and let it see the input of the layer that it starts beside."""
        fcs = getattr(self, self.original_fcs)
        if hidden_fcs > 0 and not len(fcs):
            raise UserError(
                f'{_KEY}.hidden_fcs={hidden_fcs} needs a box head with shared_fcs; this one '
                f'({type(self).__name__}) can have hidden_fcs=0'
            )
        beside = fcs[0] if hidden_fcs > 0 else getattr(self, self.original_classifier)
        self.second_classifier = SecondClassifier(
            in_features=beside.in_features,
            hidden_fcs=hidden_fcs,
            width=self.fc_out_channels,
            channels=self.loss_cls.channels()[1],
            cls_predictor_cfg=cls_predictor_cfg or self.cls_predictor_cfg,
        )
        # The head may work on one part of the RoIs after the other.
        self._features = []
        beside.register_forward_pre_hook(self._keep_input)

    def _keep_input(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        self._features.append(inputs[0])

    def init_weights(self) -> None:
        """Initialise as the head does; the second classifier starts from its loss's prior."""
        super().init_weights()
        write_prior_bias(self.second_classifier.fc_cls, self.loss_cls.second)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the logits of both classifiers and the box deltas.

        Args:
            x: RoI features, float (N, C, H, W).

        Returns:
            Logits, float (N, channels of the original + channels of the second), and the deltas as
            the head gives them.
        """
        self._features = []
        cls_score, bbox_pred = super().forward(x)
        second = torch.cat([self.second_classifier(features) for features in self._features])
        self._features = []
        return torch.cat([cls_score, second], dim=1), bbox_pred

    def loss_and_target(self, *args, **kwargs) -> dict:
        """Compute loss and targets as the head does.

        Raises:
            UserError: The original classifier is to train, which no loss of this head does.
        """
        # With disentanglement ``fc_cls`` is the sibling's, which would want the original to train.
        for name in (self.original_classifier, 'fc_cls'):
            if trains(getattr(self, name)):
                raise UserError(
                    f'{_KEY} trains while the original classifier rests: set model.type='
                    f"'RetrainedDetector' and model.trained=['{_KEY}'], without its {name}"
                )
        return super().loss_and_target(*args, **kwargs)

    def get_targets(
        self,
        sampling_results: list[SamplingResult],
        rcnn_train_cfg: ConfigDict,
        concat: bool = True,
    ) -> tuple:
        """Compute the targets as the head does; with ``match``, weigh the RoIs of a class draw.

        Raises:
            UserError: ``match`` is set, but images or RoIs are not sampled by class.
        """
        labels, label_weights, *boxes = super().get_targets(
            sampling_results, rcnn_train_cfg, concat
        )
        if self.match is not None:
            label_weights = label_weights * self._calibration_weights(sampling_results, labels)
        return labels, label_weights, *boxes

    def _calibration_weights(
        self, sampling_results: list[SamplingResult], labels: Tensor
    ) -> Tensor:
        drawn = [getattr(result, 'sampled_label', None) for result in sampling_results]
        if None in drawn:
            raise UserError(
                f'{_KEY}.match={self.match!r} needs RoIs that know the drawn class: set '
                "train_cfg.rcnn.sampler.type='ClassDrawRoISampler'"
            )
        # A draw may get lost: an image that the pipeline refuses is replaced by any other.
        self._draws_seen = self._draws_seen or max(drawn) >= 0
        if not self._draws_seen:
            raise UserError(
                f'{_KEY}.match={self.match!r} needs images drawn for a class: set '
                "train_dataloader.sampler.type='ClassDrawSampler'"
            )
        num_rois = [len(r.pos_priors) + len(r.neg_priors) for r in sampling_results]
        image_index = torch.repeat_interleave(
            torch.arange(len(drawn)), torch.tensor(num_rois), output_size=sum(num_rois)
        )
        weights = compose_calibration_batch(
            labels,
            image_index.to(labels.device),
            torch.tensor(drawn).to(labels.device),
            num_classes=self.num_classes,
            match=self.match,
        )
        return balance_ranks(weights)

    def _copied_layers(self, options: dict) -> dict[str, str]:
        """Return where each layer of the second branch comes from, by prefix of their names.

        Raises:
            UserError: The second branch is not like the original.
        """
        hidden_fcs, num_fcs = options['hidden_fcs'], len(getattr(self, self.original_fcs))
        if hidden_fcs not in (0, num_fcs):
            raise UserError(
                f"{_KEY}.init='copy' needs hidden_fcs={num_fcs} (as many layers as the original "
                f"has) or 0, not {hidden_fcs}; take init='random' otherwise"
            )
        original, second = self.loss_cls.channels()
        predictor = options['cls_predictor_cfg'] or self.cls_predictor_cfg
        if original != second or predictor != self.cls_predictor_cfg:
            raise UserError(
                f"{_KEY}.init='copy' needs the classifier of the head: the same cls_predictor_cfg "
                f'and a loss_cls with {original} logits, not {second}'
            )
        layers = {f'{self.original_classifier}.': 'second_classifier.fc_cls.'}
        for i in range(hidden_fcs):
            layers[f'{self.original_fcs}.{i}.'] = f'second_classifier.fcs.{i}.'
        return layers

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        own = f'{prefix}second_classifier.'
        if not any(name.startswith(own) for name in state_dict):
            for source, target in self._copied.items():
                start = prefix + source
                for name in [name for name in state_dict if name.startswith(start)]:
                    copied = prefix + target + name.removeprefix(start)
                    state_dict[copied] = state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)


def _read_options(given: dict) -> dict:
    unknown = sorted(set(given) - set(_DEFAULTS))
    if unknown:
        raise UserError(f'{_KEY} has no option {unknown[0]!r}; it has {", ".join(_DEFAULTS)}')
    options = {**_DEFAULTS, **given}
    hidden_fcs = options['hidden_fcs']
    if not isinstance(hidden_fcs, int) or hidden_fcs < 0:
        raise UserError(f'{_KEY}.hidden_fcs must be a whole number, 0 or more, not {hidden_fcs!r}')
    for key, known in dict(init=('random', 'copy'), match=(None, *MATCHES)).items():
        if options[key] not in known:
            raise UserError(f'{_KEY}.{key} must be one of {known}, not {options[key]!r}')
    return options
