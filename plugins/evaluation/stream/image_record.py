"""The detections of one image as plain arrays, and as the bytes that are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from plugins.errors import UserError
from plugins.evaluation.detections import compact

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """N detections of one image, in the order of the model.

    Attributes:
        img_id: Its id in the annotation file.
        bboxes: float (N, 4), corners in pixels of the original image.
        scores: float (N,).
        labels: int (N,).
        mask_scores: float (N,), what ranks the masks where the model scores them, or None.
        codes: N compressed run-length codes, or None without masks.
        sizes: int (N, 2), height and width of every mask in pixels, or None.
        meta: What else the sample says of the image in numbers and words (``ori_shape`` ...).
    """

    img_id: int
    bboxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    mask_scores: np.ndarray | None
    codes: list[bytes] | None
    sizes: np.ndarray | None
    meta: dict

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, chosen: np.ndarray) -> 'ImageRecord':
        """The chosen detections, bool (N,), in the same order."""
        if chosen.all():
            return self
        places = np.flatnonzero(chosen)
        return replace(
            self,
            bboxes=self.bboxes[places],
            scores=self.scores[places],
            labels=self.labels[places],
            mask_scores=None if self.mask_scores is None else self.mask_scores[places],
            codes=None if self.codes is None else [self.codes[i] for i in places.tolist()],
            sizes=None if self.sizes is None else self.sizes[places],
        )

    def as_result(self) -> dict:
        """The form in which ``plugins.evaluation.detections`` passes detections around."""
        result = dict(
            img_id=self.img_id, bboxes=self.bboxes, scores=self.scores, labels=self.labels
        )
        result['masks'] = self.rles()
        if self.mask_scores is not None:
            result['mask_scores'] = self.mask_scores
        return result

    def rles(self) -> list[dict] | None:
        """The masks as pycocotools has them, ``{'size': [h, w], 'counts': bytes}``."""
        if self.codes is None:
            return None
        sizes = self.sizes.tolist()
        return [dict(size=s, counts=code) for s, code in zip(sizes, self.codes, strict=True)]


def record_of(sample: Mapping) -> ImageRecord:
    """Make the record of a sample as the runner hands it to metrics.

    Raises:
        UserError: A score or box is not a finite number, or a mask is not compressed.
    """
    result = compact(sample['img_id'], sample['pred_instances'])
    img_id, rles = int(result['img_id']), result['masks']
    if rles is not None and any(not isinstance(r['counts'], str | bytes) for r in rles):
        raise UserError(f'image {img_id}: the model predicts masks that are not compressed')
    record = ImageRecord(
        img_id=img_id,
        bboxes=np.asarray(result['bboxes']).reshape(-1, 4),
        scores=np.asarray(result['scores']),
        labels=np.asarray(result['labels']),
        mask_scores=result.get('mask_scores'),
        codes=None if rles is None else [_as_bytes(rle['counts']) for rle in rles],
        sizes=None if rles is None else _sizes(rles),
        meta={k: _plain(v) for k, v in sample.items() if k != 'img_id' and _is_plain(v)},
    )
    _require_finite(record)
    return record


def _as_bytes(counts: str | bytes) -> bytes:
    return counts.encode('latin-1') if isinstance(counts, str) else counts


def _sizes(rles: list[dict]) -> np.ndarray:
    return np.array([rle['size'] for rle in rles], np.int32).reshape(-1, 2)


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (*_PLAIN, np.generic))


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _require_finite(record: ImageRecord) -> None:
    columns = dict(score=record.scores, box=record.bboxes, mask_score=record.mask_scores)
    for what, values in columns.items():
        if values is not None and not np.isfinite(values).all():
            place = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise UserError(
                f'the model gives detection {place} of image {record.img_id} the {what} '
                f'{values[place].tolist()}; test finite weights in a precision that holds them'
            )


class _Column(msgspec.Struct, array_like=True):
    dtype: str
    data: bytes


class _Stored(msgspec.Struct, array_like=True):
    img_id: int
    bboxes: _Column
    scores: _Column
    labels: _Column
    mask_scores: _Column | None
    lengths: _Column | None
    codes: bytes
    sizes: _Column | None
    meta: dict


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)


def encode(record: ImageRecord) -> bytes:
    """The record as MessagePack; `decode` gives it back, bit for bit."""
    codes, sizes = record.codes, record.sizes
    if sizes is not None and len(sizes) and (sizes == sizes[0]).all():
        sizes = sizes[:1]
    return _encoder.encode(
        _Stored(
            img_id=record.img_id,
            bboxes=_column(record.bboxes),
            scores=_column(record.scores),
            labels=_column(record.labels),
            mask_scores=_column(record.mask_scores),
            lengths=None if codes is None else _column(np.array([*map(len, codes)], np.int32)),
            codes=b'' if codes is None else b''.join(codes),
            sizes=_column(sizes),
            meta=record.meta,
        )
    )


def decode(payload: bytes) -> ImageRecord:
    """The record that `encode` made these bytes of; its arrays are read-only."""
    stored = _decoder.decode(payload)
    codes = sizes = None
    if stored.lengths is not None:
        lengths = _array(stored.lengths)
        ends = np.cumsum(lengths, dtype=np.int64).tolist()
        starts = [0, *ends[:-1]]
        codes = [stored.codes[a:b] for a, b in zip(starts, ends, strict=False)]
        sizes = np.broadcast_to(_array(stored.sizes).reshape(-1, 2), (len(codes), 2))
    return ImageRecord(
        img_id=stored.img_id,
        bboxes=_array(stored.bboxes).reshape(-1, 4),
        scores=_array(stored.scores),
        labels=_array(stored.labels),
        mask_scores=_array(stored.mask_scores),
        codes=codes,
        sizes=sizes,
        meta={key: _plain(value) for key, value in stored.meta.items()},
    )


def _column(values: np.ndarray | None) -> _Column | None:
    return None if values is None else _Column(values.dtype.str, values.tobytes())


def _array(column: _Column | None) -> np.ndarray | None:
    return None if column is None else np.frombuffer(column.data, column.dtype)
