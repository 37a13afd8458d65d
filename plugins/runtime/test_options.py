"""What the flags of ``tools/test.py`` change in a config."""

from collections.abc import Iterator

from mmengine.config import Config
from mmengine.evaluator import Evaluator

from mmdet.evaluation import DumpDetResults
from plugins.errors import UserError
from plugins.evaluation import LVISProtocolMetric


def limit_detections(
    cfg: Config, *, max_per_img: int | None = None, dets_per_class: int | None = None
) -> None:
    """Set how many detections the model gives and the evaluator keeps.

    Args:
        cfg: The config of the test, with test-time augmentation switched on or not, changed in
            place.
        max_per_img: Detections per image that the model gives, test-time augmentation included.
            Without ``dets_per_class`` the evaluator reports AP_old with that many per image as
            well.
        dets_per_class: Detections per category over the whole set that the evaluator keeps, for
            AP_fixed; -1 is no limit.

    Raises:
        UserError: A number is not positive, or the config has no place for it.
    """
    if max_per_img is not None:
        _require_positive('--max-per-img', max_per_img)
        _set_max_per_img(cfg, max_per_img)
    metrics = list(_protocol_metrics(cfg))
    if dets_per_class is not None:
        if dets_per_class != -1:
            _require_positive('--dets-per-class', dets_per_class)
        if not metrics:
            raise UserError('--dets-per-class needs test_evaluator to be an LVISProtocolMetric')
        for metric in metrics:
            metric.dets_per_class = dets_per_class
    elif max_per_img is not None:
        for metric in metrics:
            _report_also(metric, max_per_img)


def dump_predictions(evaluator: Evaluator, path: str) -> None:
    """Write the predictions to a pickle that mmdet's tools read (``--out``).

    An ``LVISProtocolMetric`` writes it from what it has stored anyway, without holding it.
    """
    for metric in evaluator.metrics:
        if isinstance(metric, LVISProtocolMetric):
            metric.dump_file = path
            return
    evaluator.metrics.append(DumpDetResults(out_file_path=path))


def _require_positive(flag: str, value: int) -> None:
    if value < 1:
        raise UserError(f'{flag} must be at least 1, not {value}')


def _set_max_per_img(cfg: Config, value: int) -> None:
    model = cfg.model
    if 'module' in model:  # views of the image are merged to so many again
        model.tta_cfg = dict(model.get('tta_cfg') or {}, max_per_img=value)
        model = model.module
    test_cfg = model.get('test_cfg') or {}
    # Two-stage detectors limit the second stage, one-stage detectors the only one.
    owner = test_cfg.get('rcnn', test_cfg)
    if 'max_per_img' not in owner:
        raise UserError(
            '--max-per-img finds neither model.test_cfg.rcnn.max_per_img nor '
            'model.test_cfg.max_per_img in the config; set what limits this model by --cfg-options'
        )
    owner.max_per_img = value


def _protocol_metrics(cfg: Config) -> Iterator[dict]:
    evaluator = cfg.get('test_evaluator') or []
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        if str(metric.get('type')).rpartition('.')[2] == 'LVISProtocolMetric':
            yield metric


def _report_also(metric: dict, cap: int) -> None:
    """Add a cap per image; COCO's counts per image and category, which is something else."""
    if metric.get('rules', 'lvis') == 'lvis':
        caps = metric.get('max_dets', 300)
        caps = [caps] if isinstance(caps, int) else list(caps)
        metric.max_dets = [*caps, *({cap} - set(caps))]
