"""What ``tta_cfg`` may say, checked, with the detector's own settings as defaults."""

from dataclasses import dataclass

from torch import nn

from plugins.errors import UserError
from plugins.layers import read_max_per_img, read_nms, read_score_thr

_KEYS = ('boxes', 'nms', 'max_per_img', 'score_thr', 'keep_features')
_BOX_MERGES = ('nms', 'average')
_NMS = dict(type='nms', iou_threshold=0.5)


@dataclass(frozen=True, kw_only=True)
class TTAOptions:
    """Options of ``MaskTTAModel``, whose docstring says what they mean.

    Args:
        averages_boxes: Whether boxes and scores are averaged.
        nms: Arguments of ``labelled_nms`` and ``classwise_nms``.
        max_per_img: Detections to keep of an image, 0 or less for all.
        score_thr: What scores have to be above, one number or one for each class; None: no limit.
        keep_features: Whether features stay in memory between the passes.
    """

    averages_boxes: bool
    nms: dict
    max_per_img: int
    score_thr: float | list[float] | None
    keep_features: bool

    @classmethod
    def read(cls, config: dict, detector: nn.Module) -> 'TTAOptions':
        """Check what a config says.

        Args:
            config: ``tta_cfg``.
            detector: Its ``test_cfg`` (of the RoI head, if it has one) gives what is left out.

        Raises:
            UserError: A key is unknown, a value is wrong, or there is no default.
        """
        unknown = sorted(set(config) - set(_KEYS))
        if unknown:
            raise UserError(f'tta_cfg.{unknown[0]} means nothing; it can have {_KEYS}')
        boxes = config.get('boxes', 'nms')
        if boxes not in _BOX_MERGES:
            raise UserError(f'tta_cfg.boxes is {boxes!r}; it can be {_BOX_MERGES}')
        own = _test_cfg(detector)
        limits = config if 'max_per_img' in config or 'max_per_img' not in own else own
        score_thr = config.get('score_thr', own.get('score_thr') if boxes == 'average' else None)
        if score_thr is not None:
            score_thr = read_score_thr(score_thr, _num_classes(detector), 'tta_cfg.score_thr')
        return cls(
            averages_boxes=boxes == 'average',
            nms=read_nms(config.get('nms', _NMS), 'tta_cfg.nms'),
            max_per_img=read_max_per_img(limits, 'tta_cfg'),
            score_thr=score_thr,
            keep_features=bool(config.get('keep_features', False)),
        )


def _test_cfg(detector: nn.Module) -> dict:
    """Return the settings that limit the detections of an image."""
    if getattr(detector, 'roi_head', None) is not None:
        return detector.roi_head.test_cfg
    return getattr(detector, 'test_cfg', None) or {}


def _num_classes(detector: nn.Module) -> int:
    owner = getattr(detector, 'roi_head', detector)
    head = owner.bbox_head if hasattr(owner, 'bbox_head') else owner.mask_head
    return (head[-1] if isinstance(head, nn.ModuleList) else head).num_classes
