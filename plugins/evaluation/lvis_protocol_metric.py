"""LVIS AP in the runner, every number labelled with its protocol."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from lvis import LVIS, LVISEval, LVISResults
from mmengine.evaluator import BaseMetric
from mmengine.fileio import dump, get_local_path
from mmengine.logging import MMLogger
from torch import Tensor

from mmdet.registry import METRICS
from plugins.annotations import read_annotations
from plugins.errors import UserError
from plugins.evaluation.lvis_compatibility import provide_numpy_float, silence_progress

provide_numpy_float()
silence_progress()

_AP_NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'APr', 'APc', 'APf')


class _AnnotationsInMemory(LVIS):
    """The index of lvis-api over annotations that were read (and checked) before."""

    def __init__(self, data: dict) -> None:
        self.logger = logging.getLogger('lvis')
        self.dataset = data
        self._create_index()


@METRICS.register_module()
class LVISProtocolMetric(BaseMetric):
    """AP of the LVIS protocol (Gupta et al. 2019) from boxes and masks, by lvis-api.

    Keys are ``lvis/segm_AP_old@300`` and so on: the protocol ("old": at most 300 detections per
    image over all classes) is part of the name. Unlike mmdet's ``LVISMetric`` it keeps full
    precision, takes the size of a mask from its pixels rather than its box, and gives zeros when
    nothing was detected.

    Args:
        ann_file: Annotations in LVIS format.
        metric: ``'bbox'``, ``'segm'`` or both.
        max_dets: Detections per image that count, best first.
        classwise: Also log the AP of every category.
        format_only: Write the result files for a submission and compute nothing.
        outfile_prefix: Write ``<prefix>.bbox.json`` and ``<prefix>.segm.json``.
        backend_args: File backend of the annotations.
        **kwargs: As in mmengine's ``BaseMetric``.
    """

    default_prefix = 'lvis'

    def __init__(
        self,
        ann_file: str,
        *,
        metric: str | Sequence[str] = ('bbox', 'segm'),
        max_dets: int = 300,
        classwise: bool = False,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.iou_types = (metric,) if isinstance(metric, str) else tuple(metric)
        unknown = set(self.iou_types) - {'bbox', 'segm'}
        if unknown:
            raise UserError(
                f"evaluator.metric must be 'bbox' or 'segm', not {sorted(unknown)[0]!r}"
            )
        if format_only and outfile_prefix is None:
            raise UserError('evaluator.format_only needs evaluator.outfile_prefix')
        self.max_dets = max_dets
        self.classwise = classwise
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        with get_local_path(ann_file, backend_args=backend_args) as path:
            self.ground_truth = _AnnotationsInMemory(read_annotations(path))
        # Labels follow the order of ids, whatever the order of the file.
        self.cat_ids = sorted(self.ground_truth.get_cat_ids())

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the detections of a batch as numbers and run-length codes."""
        for sample in data_samples:
            self.results.append(_detections(sample['img_id'], sample['pred_instances']))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate the detections of all ranks.

        Returns:
            ``<iou type>_<name>_old@<max_dets>`` to a value in [0, 1], or -1 where undefined.
        """
        logger: MMLogger = MMLogger.get_current_instance()
        self.cat_ids = self._chosen_categories()
        metrics = {}
        for iou_type in self.iou_types:
            entries = [e for result in results for e in self._entries(result, iou_type)]
            if self.outfile_prefix is not None:
                path = Path(f'{self.outfile_prefix}.{iou_type}.json')
                path.parent.mkdir(parents=True, exist_ok=True)
                dump(entries, str(path))
                logger.info(f'{len(entries)} results written to {path}')
            if self.format_only:
                continue
            values = self._evaluate(entries, iou_type, logger)
            protocol = f'old@{self.max_dets}'
            metrics.update({f'{iou_type}_{k}_{protocol}': v for k, v in values.items()})
            logger.info(_table(iou_type, protocol, values))
        return metrics

    def _chosen_categories(self) -> list[int]:
        """Return the category id of every label; a data set may use a part of the categories."""
        classes = (self.dataset_meta or {}).get('classes')
        if classes is None or len(classes) == len(self.ground_truth.cats):
            return sorted(self.ground_truth.cats)
        id_of = {category['name']: i for i, category in self.ground_truth.cats.items()}
        unknown = [name for name in classes if name not in id_of]
        if unknown:
            raise UserError(
                f'evaluator.ann_file has no category {unknown[0]!r}, which the data set has '
                f'({len(unknown)} such); give both the same file'
            )
        return sorted(id_of[name] for name in classes)

    def _entries(self, result: dict, iou_type: str) -> list[dict]:
        """Return the detections of one image as entries of a result file."""
        if iou_type == 'segm' and result['masks'] is None:
            raise UserError("evaluator.metric asks for 'segm', but the model predicts no masks")
        key = 'mask_scores' if iou_type == 'segm' and 'mask_scores' in result else 'scores'
        entries = []
        for i, (score, label) in enumerate(zip(result[key], result['labels'], strict=True)):
            entry = dict(
                image_id=result['img_id'], category_id=self.cat_ids[label], score=float(score)
            )
            # Without a box the evaluator measures the size of the mask itself.
            if iou_type == 'segm':
                entry['segmentation'] = result['masks'][i]
            else:
                x1, y1, x2, y2 = result['bboxes'][i].tolist()
                entry['bbox'] = [x1, y1, x2 - x1, y2 - y1]
            entries.append(entry)
        return entries

    def _evaluate(self, entries: list[dict], iou_type: str, logger: MMLogger) -> dict[str, float]:
        if not entries:
            logger.warning('the model detected nothing: AP is 0')
            entries = [self._irrelevant_entry(iou_type)]
        found = LVISResults(self.ground_truth, entries, max_dets=self.max_dets)
        evaluation = LVISEval(self.ground_truth, found, iou_type)
        evaluation.params.max_dets = self.max_dets
        evaluation.params.cat_ids = self.cat_ids
        evaluation.run()
        if self.classwise:
            self._log_classes(evaluation.eval['precision'], logger)
        return {name: float(evaluation.results[name]) for name in _AP_NAMES}

    def _irrelevant_entry(self, iou_type: str) -> dict:
        """Return a detection that cannot match: lvis-api refuses an empty list."""
        image = next(iter(self.ground_truth.imgs.values()))
        entry = dict(image_id=image['id'], category_id=self.cat_ids[0], score=0.0)
        if iou_type == 'bbox':
            return {**entry, 'bbox': [0.0, 0.0, 0.0, 0.0]}
        empty = np.zeros((image['height'], image['width'], 1), np.uint8, order='F')
        return {**entry, 'segmentation': _decode_counts(mask_util.encode(empty))[0]}

    def _log_classes(self, precision: np.ndarray, logger: MMLogger) -> None:
        """Log the AP of each category; ``precision`` is (thresholds, recalls, K, areas)."""
        names = {category['id']: category['name'] for category in self.ground_truth.cats.values()}
        for index, cat_id in enumerate(self.cat_ids):
            values = precision[:, :, index, 0]
            values = values[values > -1]
            text = f'{values.mean():.4f}' if values.size else 'no ground truth'
            logger.info(f'AP_old@{self.max_dets} {names[cat_id]}: {text}')


def _detections(img_id: int, instances: dict) -> dict:
    """Return one image's detections without tensors and full-size masks."""
    result = dict(
        img_id=img_id,
        bboxes=instances['bboxes'].cpu().numpy(),
        scores=instances['scores'].cpu().numpy(),
        labels=instances['labels'].cpu().numpy(),
        masks=None,
    )
    if 'masks' in instances:
        result['masks'] = _encode(instances['masks'])
    if 'mask_scores' in instances:
        result['mask_scores'] = instances['mask_scores'].cpu().numpy()
    return result


def _encode(masks: Tensor | list[dict]) -> list[dict]:
    """Run-length code boolean masks (N, H, W); codes are passed through."""
    if isinstance(masks, Tensor):
        pixels = masks.detach().cpu().numpy().astype(np.uint8)
        masks = [mask_util.encode(np.asfortranarray(mask)) for mask in pixels]
    return _decode_counts(masks)


def _decode_counts(codes: list[dict]) -> list[dict]:
    """Give the counts as text, which JSON can hold."""
    return [
        {**c, 'counts': c['counts'].decode() if isinstance(c['counts'], bytes) else c['counts']}
        for c in codes
    ]


def _table(iou_type: str, protocol: str, values: dict[str, float]) -> str:
    cells = '  '.join(f'{name} {100 * value:5.2f}' for name, value in values.items())
    return f'{iou_type} AP_{protocol} (%): {cells}'
