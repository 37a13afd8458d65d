"""AP of any set of protocols in the runner, every number labelled with its protocol."""

import dataclasses
import sys
from collections.abc import Sequence

import numpy as np
from mmengine.dist import broadcast_object_list, collect_results, get_rank, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger

from mmdet.registry import METRICS
from plugins.annotations import read_annotations
from plugins.errors import UserError
from plugins.evaluation.chosen_categories import only_categories
from plugins.evaluation.detections import score_columns
from plugins.evaluation.engine import (
    COCO,
    LVIS,
    GroundTruth,
    Request,
    evaluate,
    read_ground_truth,
)
from plugins.evaluation.protocol_numbers import flatten, log_protocols
from plugins.evaluation.stream import (
    CollectedDetections,
    DetectionStore,
    FileShard,
    MemoryShard,
    Selection,
    ShardFolder,
    needs_of,
    record_of,
    write_json,
    write_pickle,
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

    Detections are stored as bytes as they come, in memory or, in ``tools/test.py``, in a folder
    from which a test that was killed goes on. With ``dets_per_class`` only those are kept that a
    protocol can still count, so that the number per image may be large; the result files hold what
    is left in the end. Among equal scores of a category the smaller image id comes first.

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

    Attributes:
        needs: What it keeps of the detections, or None for everything.
        dump_file: Also write a pickle as mmdet's ``DumpDetResults`` does; None for none.
        image_order: Image ids in the order of that pickle, or None for ascending ids.
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
        _require_budget(self.request)
        self.needs = needs_of(self.request)
        self._folder: ShardFolder | None = None
        self._store: DetectionStore | None = None
        self.counts = counts
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.ann_file = ann_file
        self.backend_args = backend_args
        self.dump_file: str | None = None
        self.image_order: Sequence[int] | None = None
        self.ground_truth: GroundTruth | None = None
        self.evaluated_classes: tuple[str, ...] | None = None
        # Read now, so that a wrong file stops the run before it starts; only this process scores.
        self.annotations = self._read() if is_main_process() else None

    def keep_in(self, folder: ShardFolder | None) -> None:
        """Store what follows in a folder that all processes share, or again in memory (None)."""
        self._folder = folder
        self._store = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the detections of a batch as numbers and run-length codes.

        Raises:
            UserError: Masks are asked for, and the model predicts none; or a score or box is not
                a finite number.
        """
        store = self._open_store()
        for sample in data_samples:
            record = record_of(sample)
            if self._needs_masks and record.codes is None and len(record):
                raise UserError("evaluator.metric asks for 'segm', but the model predicts no masks")
            store.add(record)

    def evaluate(self, size: int) -> dict[str, float]:
        """Evaluate the detections of all ranks.

        Args:
            size: Images of the data set. It is not needed: images that a sampler repeats count
                once.

        Returns:
            As `compute_metrics`, on every rank, the names with the prefix.
        """
        shards = self._collect_shards()
        metrics: list[dict | None] = [None]
        if shards is not None:
            collected = CollectedDetections(shards, self.needs, self._num_classes)
            if self._folder is not None:
                self._folder.require_complete(collected.image_ids)
            values = self.compute_metrics(collected)
            metrics = [{f'{self.prefix}/{name}': value for name, value in values.items()}]
        broadcast_object_list(metrics)
        self._store = None
        return metrics[0]

    def compute_metrics(self, results: CollectedDetections) -> dict[str, float]:
        """Write the result files and evaluate.

        Returns:
            ``<iou type>_<name>_<protocol>`` to a value in [0, 1], or -1 where undefined.
        """
        logger: MMLogger = MMLogger.get_current_instance()
        ground_truth = self._prepare(masks=self._needs_masks and not self.format_only)
        self._require_known_images(results, ground_truth)
        self._write_files(results, ground_truth, logger)
        if self.format_only:
            return {}
        codes_file = None if self._folder is None else self._folder.path / 'codes'
        found = results.results(ground_truth, masks=self._needs_masks, codes_file=codes_file)
        metrics = {}
        for iou_types, scores in score_columns(self.iou_types, [found]):
            request = dataclasses.replace(self.request, iou_types=iou_types)
            for iou_type, protocols in evaluate(ground_truth, found[scores], request).items():
                metrics.update(flatten(iou_type, protocols))
                log_protocols(iou_type, protocols, logger)
        return metrics

    @property
    def _needs_masks(self) -> bool:
        return set(self.iou_types) != {'bbox'}

    @property
    def _num_classes(self) -> int:
        return len((self.dataset_meta or {}).get('classes') or ())

    def _open_store(self) -> DetectionStore:
        if self._store is None:
            shard = MemoryShard() if self._folder is None else self._folder.own_shard(get_rank())
            needs = self.needs
            selection = None if needs is None else Selection(needs, self._num_classes)
            self._store = DetectionStore(shard, selection)
        return self._store

    def _collect_shards(self) -> list[FileShard] | list[MemoryShard] | None:
        """What all ranks stored, on the main process."""
        store = self._open_store()
        store.shard.close()
        if self._folder is not None:
            return self._folder.collect(store.image_ids)
        payloads = [payload for _, payload in store.shard.scan()]
        payloads = collect_results(payloads, sys.maxsize, self.collect_device, self.collect_dir)
        return None if payloads is None else [MemoryShard(payloads)]

    def _prepare(self, *, masks: bool) -> GroundTruth:
        """Return the annotations of the data set's categories, prepared once for all epochs."""
        classes = (self.dataset_meta or {}).get('classes')
        if self.ground_truth is not None and classes == self.evaluated_classes:
            return self.ground_truth
        data = self._read() if self.annotations is None else self.annotations
        if classes is not None and len(classes) != len(data['categories']):
            data = only_categories(data, classes)
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

    def _require_known_images(
        self, results: CollectedDetections, ground_truth: GroundTruth
    ) -> None:
        unknown = np.setdiff1d(results.image_ids, ground_truth.image_ids)
        if len(unknown):
            raise UserError(
                f'{self.ann_file} has no image {unknown[0]}, which was tested; give the data set '
                'and the evaluator the same annotation file'
            )

    def _write_files(
        self, results: CollectedDetections, ground_truth: GroundTruth, logger: MMLogger
    ) -> None:
        if self.dump_file is not None:
            total = write_pickle(self.dump_file, results.records(self.image_order))
            logger.info(f'predictions of {total} images written to {self.dump_file}')
        if self.outfile_prefix is None:
            return
        for iou_type in ('bbox', 'segm') if self._needs_masks else ('bbox',):
            path = f'{self.outfile_prefix}.{iou_type}.json'
            total = write_json(path, results.records(), iou_type, ground_truth.category_ids)
            logger.info(f'{total} results written to {path}')


def _require_known(key: str, values: Sequence[str], known: Sequence[str]) -> None:
    unknown = [value for value in values if value not in known]
    if unknown:
        choices = ', '.join(map(repr, known))
        raise UserError(f'evaluator.{key} must be of {choices}, not {unknown[0]!r}')


def _require_budget(request: Request) -> None:
    if 0 in request.dets_per_class:
        raise UserError('evaluator.dets_per_class must be at least 1, or -1 for no limit')


def _several(numbers: int | Sequence[int]) -> tuple[int, ...]:
    return (numbers,) if isinstance(numbers, int) else tuple(numbers)
