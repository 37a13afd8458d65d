"""From records to the arrays that are evaluated."""

import dataclasses
import io
from pathlib import Path

import numpy as np

from plugins.evaluation.detections import to_xywh
from plugins.evaluation.engine import Results
from plugins.evaluation.stream.image_record import ImageRecord


class GatheredResults:
    """Takes records one after the other and makes `Results` of them.

    Args:
        masks: Also of their run-length codes.
        codes_file: Where the codes are put, to be mapped into memory; None holds them.
    """

    def __init__(self, masks: bool, codes_file: Path | None = None) -> None:
        self._masks = masks
        self._codes = io.BytesIO() if codes_file is None else codes_file.open('w+b')
        self._counts: list[int] = []
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, record: ImageRecord) -> None:
        """Take an image."""
        own = record.scores if record.mask_scores is None else record.mask_scores
        self._counts.append(len(record))
        self._put('category', record.labels, np.int32)
        self._put('score', record.scores, np.float64)
        self._put('mask_score', own, np.float64)
        self._put('box', to_xywh(record.bboxes), np.float64)
        if self._masks and record.codes is not None:
            self._codes.write(b''.join(record.codes))
            self._put('rle_length', [*map(len, record.codes)], np.int32)
            self._put('rle_height', record.sizes[:, 0], np.int32)
            self._put('rle_width', record.sizes[:, 1], np.int32)

    def results(self, images: np.ndarray, *, own_mask_scores: bool) -> dict[str, Results]:
        """The results; the records that were taken are given up.

        Args:
            images: int32, index into ``GroundTruth.image_ids`` of every image taken.
            own_mask_scores: Masks are ranked by scores of their own.

        Returns:
            By ``'scores'`` and perhaps ``'mask_scores'``; all arrays but the scores are shared.
        """
        columns = {key: self._joined(key) for key in list(self._parts)}
        mask_score = columns.pop('mask_score', np.zeros(0))
        columns.setdefault('category', np.zeros(0, np.int32))
        columns.setdefault('score', np.zeros(0))
        columns.setdefault('box', np.zeros((0, 4)))
        if self._masks:
            for key in ('rle_length', 'rle_height', 'rle_width'):
                columns.setdefault(key, np.zeros(0, np.int32))
            length = columns['rle_length']
            columns['rle_offset'] = np.cumsum(length, dtype=np.int64) - length
            columns['rle'] = self._mapped_codes()
        found = Results(
            image=np.repeat(images, self._counts),
            source='the detections of this run',
            **columns,
        )
        results = dict(scores=found)
        if own_mask_scores:
            results['mask_scores'] = dataclasses.replace(found, score=mask_score)
        return results

    def _put(self, key: str, values: np.ndarray | list, dtype: type) -> None:
        self._parts.setdefault(key, []).append(np.asarray(values, dtype))

    def _joined(self, key: str) -> np.ndarray:
        return np.concatenate(self._parts.pop(key))

    def _mapped_codes(self) -> np.ndarray:
        if isinstance(self._codes, io.BytesIO):
            return np.frombuffer(self._codes.getbuffer(), np.uint8)
        with self._codes as file:
            length = file.tell()
            file.flush()
            if length == 0:  # cannot be mapped
                return np.zeros(0, np.uint8)
            return np.memmap(file, np.uint8, 'r', shape=(length,))
