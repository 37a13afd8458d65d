"""AP of any set of protocols in the runner, every number labelled with its protocol."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger

from mmdet.registry import METRICS
from plugins.annotations import read_annotations
from plugins.errors import UserError
from plugins.evaluation.detections import compact, result_entries, score_columns, to_xywh
from plugins.evaluation.engine import (
    COCO,
    LVIS,
    GroundTruth,
    Request,
    Results,
    evaluate,
    read_ground_truth,
)

_RULES = {'lvis': LVIS, 'coco': COCO}
_IOU_TYPES = ('bbox', 'segm', 'boundary')


@METRICS.register_module()
class LVISProtocolMetric(BaseMetric):
    """Score boxes and masks by every protocol that is asked for, from one matching pass.

    Keys are ``lvis/segm_AP_old@300``, ``lvis/segm_APr_fixed@10000``,
    ``lvis/boundary_AP_pool@10000`` and so on: the protocol is part of the name. Numbers have full
    precision, the size of a mask is that of its pixels, and a model that detects nothing scores
    zero. The same results as a file give the same numbers with ``tools/evaluate.py``.

    Args:
        ann_file: Annotations in LVIS format (COCO's will do for ``rules='coco'``).
        metric: Of ``'bbox'``, ``'segm'`` and ``'boundary'``.
        max_dets: AP_old: detections per image that count, one number or several. (By COCO's rules:
            per image and category.)
        dets_per_class: AP_fixed: detections per category over the whole set, without a cap per
            image; none by default.
        pool: Also AP_pool of the AP_fixed results.
        bins: AP by training instances, ``'lvis'`` or ``'coco-lt'``; needs ``counts``.
        counts: Training annotations, or a table of instances per category.
        subsets: Frequency groups evaluated alone, such as ``'rc'``.
        rules: ``'lvis'`` (federated) or ``'coco'`` (exhaustive, with crowds).
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
        max_dets: int | Sequence[int] = 300,
        dets_per_class: int | Sequence[int] = (),
        pool: bool = False,
        bins: str | None = None,
        counts: str | None = None,
        subsets: Sequence[str] = (),
        rules: str = 'lvis',
        classwise: bool = False,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        backend_args: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.iou_types = (metric,) if isinstance(metric, str) else tuple(metric)
        _require_known('metric', self.iou_types, _IOU_TYPES)
        _require_known('rules', (rules,), tuple(_RULES))
        if format_only and outfile_prefix is None:
            raise UserError('evaluator.format_only needs evaluator.outfile_prefix')
        if bins is not None and counts is None:
            raise UserError('evaluator.bins needs evaluator.counts, the training annotations')
        self.request = Request(
            iou_types=self.iou_types,
            max_dets=_several(max_dets),
            dets_per_class=_several(dets_per_class),
            pool=pool,
            bins=bins,
            subsets=tuple(subsets),
            per_category=classwise,
            rules=_RULES[rules],
        )
        self.counts = counts
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.ann_file = ann_file
        self.backend_args = backend_args
        self.ground_truth: GroundTruth | None = None
        self.evaluated_classes: tuple[str, ...] | None = None
        # Read now, so that a wrong file stops the run before it starts; only this process scores.
        self.annotations = self._read() if is_main_process() else None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the detections of a batch as numbers and run-length codes."""
        for sample in data_samples:
            self.results.append(compact(sample['img_id'], sample['pred_instances']))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate the detections of all ranks.

        Returns:
            ``<iou type>_<name>_<protocol>`` to a value in [0, 1], or -1 where undefined.
        """
        logger: MMLogger = MMLogger.get_current_instance()
        needs_masks = set(self.iou_types) != {'bbox'}
        if needs_masks and any(result['masks'] is None for result in results):
            raise UserError("evaluator.metric asks for 'segm', but the model predicts no masks")
        ground_truth = self._prepare(masks=needs_masks and not self.format_only)
        if self.outfile_prefix is not None:
            for iou_type in ('bbox', 'segm') if needs_masks else ('bbox',):
                self._write(results, iou_type, ground_truth, logger)
        if self.format_only:
            return {}
        metrics = {}
        for iou_types, scores in score_columns(self.iou_types, results):
            found = self._gather(results, scores, ground_truth, needs_masks)
            request = dataclasses.replace(self.request, iou_types=iou_types)
            for iou_type, protocols in evaluate(ground_truth, found, request).items():
                metrics.update(_flatten(iou_type, protocols))
                _log(iou_type, protocols, logger)
        return metrics

    def _prepare(self, *, masks: bool) -> GroundTruth:
        """Return the annotations of the data set's categories, prepared once for all epochs."""
        classes = (self.dataset_meta or {}).get('classes')
        if self.ground_truth is not None and classes == self.evaluated_classes:
            return self.ground_truth
        data = self._read() if self.annotations is None else self.annotations
        if classes is not None and len(classes) != len(data['categories']):
            data = _only_categories(data, classes)
        federated = self.request.rules.federated
        self.ground_truth = read_ground_truth(
            data, masks=masks, counts=self.counts, federated=federated
        )
        self.evaluated_classes = classes
        self.annotations = None  # a gigabyte of objects for LVIS val
        return self.ground_truth

    def _read(self) -> dict:
        with get_local_path(self.ann_file, backend_args=self.backend_args) as path:
            return read_annotations(path)

    def _gather(
        self, results: list[dict], scores: str, ground_truth: GroundTruth, masks: bool
    ) -> Results:
        images = np.array([result['img_id'] for result in results], np.int64)
        index = np.searchsorted(ground_truth.image_ids, images)
        known = ground_truth.image_ids[np.minimum(index, len(ground_truth.image_ids) - 1)] == images
        if not known.all():
            raise UserError(
                f'{self.ann_file} has no image {images[~known][0]}, which was tested; give the '
                'data set and the evaluator the same annotation file'
            )
        return Results.from_arrays(
            index,
            [result['labels'] for result in results],
            [result[scores] for result in results],
            boxes=[to_xywh(result['bboxes']) for result in results],
            masks=[result['masks'] for result in results] if masks else None,
            source='the detections of this run',
        )

    def _write(
        self, results: list[dict], iou_type: str, ground_truth: GroundTruth, logger: MMLogger
    ) -> None:
        """Write a result file in the format of LVIS and COCO, one image after the other."""
        path = Path(f'{self.outfile_prefix}.{iou_type}.json')
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f'.{path.name}.part')
        separator, total = b'[', 0
        with open(partial, 'wb') as file:
            for result in results:
                entries = result_entries(result, iou_type, ground_truth.category_ids)
                total += len(entries)
                for entry in entries:
                    file.write(separator + msgspec.json.encode(entry))
                    separator = b',\n'
            file.write(b']' if total else b'[]')
        partial.replace(path)
        logger.info(f'{total} results written to {path}')


def _require_known(key: str, values: Sequence[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        choices = ', '.join(map(repr, known))
        raise UserError(f'evaluator.{key} must be of {choices}, not {unknown[0]!r}')


def _several(numbers: int | Sequence[int]) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)


def _only_categories(data: dict, classes: Sequence[str]) -> dict:
    """Return annotations as if there were no categories but those of these names."""
    names = {category['name'] for category in data['categories']}
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise UserError(
            f'evaluator.ann_file has no category {unknown[0]!r}, which the data set has '
            f'({len(unknown)} such); give both the same file'
        )
    categories = [c for c in data['categories'] if c['name'] in set(classes)]
    kept = {category['id'] for category in categories}
    lists = ('neg_category_ids', 'not_exhaustive_category_ids')
    return dict(
        images=[
            {**image, **{k: [i for i in image[k] if i in kept] for k in lists if k in image}}
            for image in data['images']
        ],
        annotations=[a for a in data['annotations'] if a['category_id'] in kept],
        categories=categories,
    )


def _flatten(iou_type: str, protocols: dict[str, dict]) -> dict[str, float]:
    return {
        f'{iou_type}_{name.partition("@")[0]}_{protocol}': value
        for protocol, values in protocols.items()
        if protocol != 'per_category'
        for name, value in values.items()
    }


def _log(iou_type: str, protocols: dict[str, dict], logger: MMLogger) -> None:
    for protocol, values in protocols.items():
        if protocol == 'per_category':
            continue
        cells = '  '.join(
            f'{name} {100 * value:5.2f}' for name, value in values.items() if name[:2] == 'AP'
        )
        logger.info(f'{iou_type} AP_{protocol} (%): {cells}')
    for category in protocols.get('per_category', {}).values():
        lists = {k: v['AP'] for k, v in category.items() if isinstance(v, dict)}
        for protocol, value in lists.items():
            text = f'{100 * value:.2f}' if value >= 0 else 'no ground truth'
            logger.info(f'{iou_type} AP_{protocol} (%) of {category["name"]}: {text}')
