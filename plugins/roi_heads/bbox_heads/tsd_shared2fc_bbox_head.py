"""The box head of TSD: where to look is learned, for classes and for boxes apart."""

from collections.abc import Sequence

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmdet.models.roi_heads.bbox_heads import Shared2FCBBoxHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor
from plugins.detectors.trained_layers import trains
from plugins.errors import UserError
from plugins.layers.deformable_roi_sampling import sample_rois
from plugins.roi_heads.bbox_heads.box_translation import check_coder, translate_deltas
from plugins.roi_heads.bbox_heads.progressive_constraint import (
    SampledRoIs,
    classification_constraint,
    has_softmax,
    localization_constraint,
)
from plugins.roi_heads.bbox_heads.sees_pyramid import SeenPyramid, SeesPyramid
from plugins.roi_heads.prior_bias import write_prior_bias

_KEY = 'roi_head.bbox_head'


@MODELS.register_module()
class TSDShared2FCBBoxHead(SeesPyramid, Shared2FCBBoxHead):
    """``Shared2FCBBoxHead`` with task-aware spatial disentanglement (Song et al. 2020).

    From the RoI feature it predicts where to pool again: for the classes every bin is moved on its
    own, for the box the RoI is moved as a whole. Each task has hidden layers of its own. The
    ordinary head that it extends, the sibling, trains beside it on the RoI feature, and is what the
    progressive constraint wants it to beat; nothing of it runs in a test, nor where it is frozen.

    The deltas it returns are relative to the given RoI, so targets, losses, refinement and decoding
    are stock's. Losses are those of the head under stock's names, the sibling's with ``_sibling``
    at the end, ``loss_pc_cls`` and ``loss_pc_loc``. Parameters have the names of the published
    code. The sibling has a loss of its own, made from the same config: what a loss counts or draws
    it does once per RoI and step, for the classifier that is tested.

    Args:
        loss_cls: Config of the classification loss, any that a box head accepts.
        fc_out_channels: Width of the hidden layers of both tasks and of the sibling.
        offset_channels: Width of the layers that predict where to look.
        featmap_strides: Network pixels per pixel of each level that is pooled from.
        finest_scale: As in mmdet's ``SingleRoIExtractor``: below twice this size, in pixels, a RoI
            is pooled from the first level.
        gamma: Scale of the moves: an offset of 1 is so many widths or heights of the RoI.
        sampling_ratio: Samples per bin and direction; 0 is about one per pixel of the map.
        roi_chunk: RoIs that are pooled and processed at a time in a test; bounds the memory.
        pc_cls: Whether the classifier has to beat the sibling's. Needs a loss with a softmax over
            the classes and background; off with Seesaw loss (MMDet team 2020).
        pc_loc: Whether the boxes have to beat the sibling's.
        margin: By how much; a probability and an IoU, in [0, 1].
        **kwargs: As in ``Shared2FCBBoxHead``.

    Raises:
        UserError: An option is out of range, or the loss or box coder does not fit.
    """

    def __init__(
        self,
        *,
        loss_cls: dict,
        fc_out_channels: int = 1024,
        offset_channels: int = 256,
        featmap_strides: Sequence[int] = (4, 8, 16, 32),
        finest_scale: float = 56,
        gamma: float = 0.1,
        sampling_ratio: int = 2,
        roi_chunk: int = 256,
        pc_cls: bool = True,
        pc_loc: bool = True,
        margin: float = 0.3,
        **kwargs,
    ) -> None:
        super().__init__(fc_out_channels=fc_out_channels, loss_cls=loss_cls, **kwargs)
        self.featmap_strides = tuple(featmap_strides)
        self.finest_scale = finest_scale
        self.gamma = gamma
        self.sampling_ratio = sampling_ratio
        self.roi_chunk = roi_chunk
        self.pc_cls = pc_cls
        self.pc_loc = pc_loc
        self.margin = margin
        self._check_options()
        self._add_offset_layers(offset_channels)
        self._add_task_layers(loss_cls)
        self._sibling_outputs: tuple[Tensor, Tensor] | None = None

    def _check_options(self) -> None:
        check_coder(self.bbox_coder)
        if not (self.with_cls and self.with_reg) or self.with_avg_pool:
            raise UserError(
                f'{_KEY}: {type(self).__name__} has both tasks and no average pooling: leave out '
                'with_cls, with_reg and with_avg_pool'
            )
        for key, is_valid, domain in (
            ('margin', 0 <= self.margin <= 1, 'in [0, 1]'),
            ('gamma', self.gamma > 0, 'above 0'),
            ('sampling_ratio', self.sampling_ratio >= 0, '0 or more'),
            ('roi_chunk', self.roi_chunk >= 1, '1 or more'),
        ):
            if not is_valid:
                raise UserError(f'{_KEY}.{key} must be {domain}, not {getattr(self, key)!r}')
        if self.pc_cls and not has_softmax(self.loss_cls):
            raise UserError(
                f'{_KEY}.pc_cls=True compares probabilities of a softmax over the classes and '
                f'background, which {type(self.loss_cls).__name__} does not have: set pc_cls=False'
            )

    def _add_offset_layers(self, width: int) -> None:
        """Make the layers that predict where to look, in the order x, y and bin after bin."""
        features = self.in_channels * self.roi_feat_area
        self.shared_fc = nn.Sequential(nn.Linear(features, width), nn.ReLU(inplace=True))
        self.delta_c, self.delta_r = (
            nn.Sequential(
                nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, 2 * bins)
            )
            for bins in (self.roi_feat_area, 1)
        )
        if isinstance(self.init_cfg, list):
            # The published code looks aside from the start; an offset of zero has a gradient too.
            names = ('shared_fc', 'delta_c', 'delta_r')
            self.init_cfg.append(
                dict(
                    type='Kaiming',
                    a=1,
                    mode='fan_in',
                    nonlinearity='leaky_relu',
                    override=[dict(name=name) for name in names],
                )
            )

    def _add_task_layers(self, loss_cls: dict) -> None:
        """Make hidden layers and predictors like the sibling's, one set per task."""
        _, self.TSD_pc_fcs, width = self._add_conv_fc_branch(0, 2, self.in_channels, True)
        _, self.TSD_pr_fcs, width = self._add_conv_fc_branch(0, 2, self.in_channels, True)
        self.sibling_loss_cls = MODELS.build(loss_cls)
        channels = self.num_classes + 1
        if self.custom_cls_channels:
            channels = self.sibling_loss_cls.get_cls_channels(self.num_classes)
        self.TSD_fc_cls = MODELS.build(
            dict(self.cls_predictor_cfg, in_features=width, out_features=channels)
        )
        num_boxes = 1 if self.reg_class_agnostic else self.num_classes
        self.TSD_fc_reg = MODELS.build(
            dict(self.reg_predictor_cfg, in_features=width, out_features=4 * num_boxes)
        )
        if isinstance(self.init_cfg, list):
            hidden = [dict(name='TSD_pc_fcs'), dict(name='TSD_pr_fcs')]
            self.init_cfg += [
                dict(type='Xavier', distribution='uniform', override=hidden),
                dict(type='Normal', std=0.01, override=dict(name='TSD_fc_cls')),
                dict(type='Normal', std=0.001, override=dict(name='TSD_fc_reg')),
            ]

    def init_weights(self) -> None:
        """Initialise as stock does; the classifier starts from its loss's prior."""
        super().init_weights()
        write_prior_bias(self.TSD_fc_cls, self.loss_cls)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits and box deltas, inside of ``seeing_pyramid``.

        Args:
            x: RoI features, float (R, C, H, W).

        Returns:
            Logits, float (R, channels), and deltas relative to the RoIs, float (R, 4) or
            (R, 4 K).

        Raises:
            UserError: No pyramid is shown, or one with too few levels.
        """
        seen = self.pyramid
        if len(seen.x) < len(self.featmap_strides):
            raise UserError(
                f'{_KEY}.featmap_strides has {len(self.featmap_strides)} levels, but the neck '
                f'gives {len(seen.x)}; list the strides of the levels that there are'
            )
        self._sibling_outputs = super().forward(x) if self._sibling_trains() else None
        # A training step keeps what every chunk makes: there, chunks would save nothing.
        chunk = max(len(x), 1) if self.training else self.roi_chunk
        parts = zip(x.split(chunk), seen.rois.split(chunk), strict=True)
        outputs = [self._look_again(feats, seen._replace(rois=rois)) for feats, rois in parts]
        cls_score, bbox_pred = (torch.cat(values) for values in zip(*outputs, strict=True))
        return cls_score, bbox_pred

    def _sibling_trains(self) -> bool:
        layers = (self.shared_fcs, self.fc_cls, self.fc_reg)
        return self.training and any(map(trains, layers))

    def _look_again(self, x: Tensor, seen: SeenPyramid) -> tuple[Tensor, Tensor]:
        """Predict where to look, look there, and return logits and deltas."""
        hidden = self.shared_fc(x.flatten(1))
        # What becomes a coordinate is float32, also under autocast.
        by_bin = self.delta_c(hidden).float().view(len(x), 2, *self.roi_feat_size)
        as_whole = self.delta_r(hidden).float()
        cls_feats, loc_feats = self._pool(by_bin, as_whole, seen).to(x.dtype).unbind()
        for fc in self.TSD_pc_fcs:
            cls_feats = self.relu(fc(cls_feats))
        for fc in self.TSD_pr_fcs:
            loc_feats = self.relu(fc(loc_feats))
        deltas = self.TSD_fc_reg(loc_feats)
        deltas = translate_deltas(deltas, self.gamma * as_whole, self.bbox_coder)
        return self.TSD_fc_cls(cls_feats), deltas

    def _pool(self, by_bin: Tensor, as_whole: Tensor, seen: SeenPyramid) -> Tensor:
        """Pool for classes and for boxes in one go.

        Args:
            by_bin: Float32 (R, 2, H, W), offsets of the bins.
            as_whole: Float32 (R, 2), offset of the RoI.
            seen: Pyramid, the R RoIs and the context.

        Returns:
            Float32 (2, R, C * H * W).
        """
        # The level may need the maps in float32 and channels last: once is better than twice.
        rois = seen.rois.repeat(2, 1)
        feats = sample_rois(
            seen.x,
            rois,
            torch.cat([by_bin, as_whole[:, :, None, None].expand_as(by_bin)]),
            strides=self.featmap_strides,
            sampling_ratio=self.sampling_ratio,
            gamma=self.gamma,
            finest_scale=self.finest_scale,
        )
        feats = seen.add_context(feats, rois).flatten(1)
        return feats.view(2, len(by_bin), feats.shape[1])

    def loss_and_target(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        sampling_results: list[SamplingResult],
        rcnn_train_cfg: ConfigDict,
        concat: bool = True,
        reduction_override: str | None = None,
    ) -> dict:
        """Compute targets and losses as stock does, and the losses that involve the sibling.

        Args:
            cls_score: What ``forward`` returned, just before.
            bbox_pred: Likewise.
            rois: Float (R, 5).
            sampling_results: Of every image.
            rcnn_train_cfg: Of the stage.
            concat: As in ``BBoxHead``.
            reduction_override: As in ``BBoxHead``.

        Returns:
            ``loss_bbox``, the losses by name, and ``bbox_targets``.

        Raises:
            UserError: The sibling's classifier is to train, and the one that is tested is not.
        """
        if trains(self.fc_cls) and not trains(self.TSD_fc_cls):
            raise UserError(
                f"model.trained: '{_KEY}.fc_cls' of {type(self).__name__} is the sibling's, which "
                f"no test sees; name '{_KEY}.TSD_fc_cls'"
            )
        sibling, self._sibling_outputs = self._sibling_outputs, None
        found = super().loss_and_target(
            cls_score, bbox_pred, rois, sampling_results, rcnn_train_cfg, concat, reduction_override
        )
        losses, targets = found['loss_bbox'], found['bbox_targets']
        if len(rois) == 0:
            # Stock leaves the classifier out. Our RoI heads never come here (`TrainsOnEmptyBatch`
            # gives them a RoI), so no process misses what a loss sums over processes.
            losses['loss_cls'] = cls_score.sum() * 0.0
        if sibling is not None:
            losses.update(self._sibling_losses(sibling, rois, targets, reduction_override))
            losses.update(
                self._constraints((cls_score, bbox_pred), sibling, rois, sampling_results, targets)
            )
        return found

    def _sibling_losses(
        self,
        sibling: tuple[Tensor, Tensor],
        rois: Tensor,
        targets: tuple[Tensor, ...],
        reduction_override: str | None,
    ) -> dict[str, Tensor]:
        logits, deltas = sibling
        labels, label_weights, *_ = targets
        terms = self.sibling_loss_cls(
            logits,
            labels,
            label_weights,
            avg_factor=max(float((label_weights > 0).sum()), 1.0),
            reduction_override=reduction_override,
        )
        terms = dict(terms) if isinstance(terms, dict) else dict(loss_cls=terms)
        terms |= self.loss(None, deltas, rois, *targets, reduction_override=reduction_override)
        return {f'{name}_sibling': value for name, value in terms.items()}

    def _constraints(
        self,
        own: tuple[Tensor, Tensor],
        sibling: tuple[Tensor, Tensor],
        rois: Tensor,
        sampling_results: list[SamplingResult],
        targets: tuple[Tensor, ...],
    ) -> dict[str, Tensor]:
        """Compute ``loss_pc_cls`` and ``loss_pc_loc``, each if it is switched on."""
        labels = targets[0]
        sampled = SampledRoIs.of(sampling_results)
        losses = {}
        if self.pc_cls:
            losses['loss_pc_cls'] = classification_constraint(
                own[0], sibling[0], labels, sampled, self.margin
            )
        if self.pc_loc:
            index = sampled.positive_rows().to(rois.device)
            boxes = [
                self._decode_labels(rois[index], deltas[index], labels[index])
                for deltas in (own[1], sibling[1])
            ]
            objects = torch.cat([get_box_tensor(r.pos_gt_bboxes) for r in sampling_results])
            losses['loss_pc_loc'] = localization_constraint(*boxes, objects, sampled, self.margin)
        return losses

    def _decode_labels(self, rois: Tensor, deltas: Tensor, labels: Tensor) -> Tensor:
        """Decode float (P, 4) boxes of the labels, int64 (P,), from the deltas of all classes."""
        deltas = deltas.float()
        if not self.reg_class_agnostic:
            own = labels[:, None, None].expand(-1, 1, 4)
            deltas = deltas.view(len(deltas), self.num_classes, 4).gather(1, own)[:, 0]
        return get_box_tensor(self.bbox_coder.decode(rois[:, 1:], deltas))
