"""Ground truth and results as plain arrays: what every part of the evaluation passes around."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from plugins.annotations import AnnotationError

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
AREA_NAMES = ('all', 'small', 'medium', 'large')
AREA_LIMITS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]], np.float64)
"""Lower and upper end in pixels, float64 (4, 2); whether the upper end belongs to the range is a
matter of the rules."""


class ResultsError(AnnotationError):
    """Results that cannot be evaluated; the message names the source, the index and the cause."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What distinguishes the protocols of LVIS and COCO.

    Attributes:
        name: ``'lvis'`` or ``'coco'``.
        federated: Only categories known to be present or absent in an image count there, and
            unmatched results of not exhaustively annotated categories are ignored.
        drop_zero_area: Results and annotations without area are left out (after the caps).
        crowd: ``iscrowd`` marks regions that may match several results, by intersection over the
            area of the result; else ``ignore`` marks ignored annotations.
        cap_per_category: The cap on results per image counts each category on its own.
        boundary_area_upper_inclusive: An area equal to the upper end belongs to the range when
            boundaries are compared (the reference for LVIS leaves it out); for masks and boxes
            it always does.
    """

    name: str
    federated: bool
    drop_zero_area: bool
    crowd: bool
    cap_per_category: bool
    boundary_area_upper_inclusive: bool


LVIS = Rules('lvis', True, True, False, False, False)
COCO = Rules('coco', False, False, True, True, True)


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Annotations of I images and K categories; G annotations in the order of the file.

    Attributes:
        image_ids: int64 (I,), ascending.
        height, width: int32 (I,), pixels.
        category_ids: int64 (K,), ascending.
        names: K names.
        frequency: uint8 (K,), the code of ``'r'``, ``'c'`` or ``'f'``, 0 where the file says none.
        train_instances: int64 (K,), instances in the training split, or None if unknown.
        ann_id: int64 (G,), distinct and positive.
        ann_image: int32 (G,), index into ``image_ids``.
        ann_category: int32 (G,), index into ``category_ids``.
        ann_area: float64 (G,), pixels, as the file says.
        ann_box: float64 (G, 4), x, y, width, height in pixels.
        ann_ignore: bool (G,).
        ann_crowd: bool (G,).
        mask_offset: int64 (G + 1,), where the intervals of each annotation begin; empty when only
            boxes were read.
        mask_start, mask_end: int32, half-open, ascending, disjoint intervals of pixels in
            column-major order (pixel x * height + y).
        neg_offset, neg_category: int64 (I + 1,) and int32, per image the categories (as indices)
            that are known to be absent.
        ne_offset, ne_category: The same for categories that are not exhaustively annotated.
        source: Where it came from, for messages.
    """

    image_ids: np.ndarray
    height: np.ndarray
    width: np.ndarray
    category_ids: np.ndarray
    names: list[str]
    frequency: np.ndarray
    train_instances: np.ndarray | None
    ann_id: np.ndarray
    ann_image: np.ndarray
    ann_category: np.ndarray
    ann_area: np.ndarray
    ann_box: np.ndarray
    ann_ignore: np.ndarray
    ann_crowd: np.ndarray
    mask_offset: np.ndarray
    mask_start: np.ndarray
    mask_end: np.ndarray
    neg_offset: np.ndarray
    neg_category: np.ndarray
    ne_offset: np.ndarray
    ne_category: np.ndarray
    source: str = 'ground truth'

    @property
    def has_masks(self) -> bool:
        """Whether the masks were read."""
        return len(self.mask_offset) == len(self.ann_id) + 1


@dataclass(frozen=True, slots=True)
class Results:
    """N detections in the order of the file.

    Attributes:
        image: int32 (N,), index into ``GroundTruth.image_ids``.
        category: int32 (N,), index into ``GroundTruth.category_ids``, -1 for an unknown id.
        score: float64 (N,), any finite number.
        box: float64 (N, 4), x, y, width, height in pixels, or None.
        rle: uint8 (B,), the bytes that hold all compressed run-length codes (perhaps a memory map
            of a file), or None when there are only boxes.
        rle_offset: int64 (N,), first byte of each code.
        rle_length: int32 (N,), its bytes in the buffer, escapes included.
        rle_height, rle_width: int32 (N,), the size of each mask in pixels.
        escaped: Two backslashes in the buffer stand for one, as in JSON text.
        source: Where it came from, for messages.
        warnings: What the reader found strange, one sentence each.
        area_from_box: Sizes are those of the boxes even where masks are compared, as in lvis-api
            when the first result has a box.
    """

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    box: np.ndarray | None = None
    rle: np.ndarray | None = None
    rle_offset: np.ndarray | None = None
    rle_length: np.ndarray | None = None
    rle_height: np.ndarray | None = None
    rle_width: np.ndarray | None = None
    escaped: bool = False
    source: str = 'results'
    warnings: list[str] = field(default_factory=list)
    area_from_box: bool = False

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def from_arrays(
        cls,
        images: Sequence[int] | np.ndarray,
        labels: Sequence[np.ndarray],
        scores: Sequence[np.ndarray],
        *,
        boxes: Sequence[np.ndarray] | None = None,
        masks: Sequence[Sequence[dict]] | None = None,
        area_from_box: bool = False,
        source: str = 'results in memory',
    ) -> 'Results':
        """Gather the detections of P images that are in memory.

        Args:
            images: P indices into ``GroundTruth.image_ids``.
            labels: Per image int (n,), indices into ``GroundTruth.category_ids``.
            scores: Per image float (n,).
            boxes: Per image float (n, 4), x, y, width, height in pixels.
            masks: Per image n compressed run-length codes ``{'size': [h, w], 'counts': ...}``.
            area_from_box: See the attribute.
            source: Where they came from, for messages.

        Raises:
            ResultsError: Lengths differ, or a score or box is not a number.
        """
        counts = [len(image_scores) for image_scores in scores]
        for what, column in (('labels', labels), ('boxes', boxes), ('masks', masks)):
            if column is not None and [len(values) for values in column] != counts:
                raise ResultsError(f'{source}: there are not as many {what} as scores')
        if len(images) != len(counts):
            raise ResultsError(f'{source}: {len(images)} images but scores for {len(counts)}')
        gathered = cls(
            image=np.repeat(np.asarray(images, np.int32), counts),
            category=_joined(labels, np.int32),
            score=_joined(scores, np.float64),
            box=None if boxes is None else _joined(boxes, np.float64, (0, 4)).reshape(-1, 4),
            source=source,
            area_from_box=area_from_box,
            **({} if masks is None else _gather_codes(masks, source)),
        )
        gathered.require_finite()
        return gathered

    def require_finite(self) -> None:
        """Raise an error for the first score or box that is not a finite number."""
        for what, values in (('score', self.score), ('box', self.box)):
            if values is None:
                continue
            bad = ~np.isfinite(values)
            if bad.any():
                index = int(np.flatnonzero(bad.reshape(len(values), -1).any(axis=1))[0])
                raise ResultsError(
                    f'{self.source}: result {index} has {what} {values[index].tolist()}; '
                    'remove it or predict it again'
                )


def _joined(parts: Sequence, dtype: type, empty: tuple[int, ...] = (0,)) -> np.ndarray:
    if not len(parts):
        return np.zeros(empty, dtype)
    return np.concatenate([np.asarray(part, dtype).reshape(-1, *empty[1:]) for part in parts])


def _gather_codes(masks: Sequence[Sequence[dict]], source: str) -> dict[str, np.ndarray]:
    codes = [code for image in masks for code in image]
    counts = []
    for index, code in enumerate(codes):
        text = code['counts']
        if not isinstance(text, str | bytes):
            raise ResultsError(f'{source}: result {index} has a mask that is not compressed')
        counts.append(text.encode('latin-1') if isinstance(text, str) else text)
    length = np.array([len(text) for text in counts], np.int32)
    size = np.array([code['size'] for code in codes], np.int32).reshape(-1, 2)
    return dict(
        rle=np.frombuffer(b''.join(counts), np.uint8),
        rle_offset=np.cumsum(length, dtype=np.int64) - length,
        rle_length=length,
        rle_height=np.ascontiguousarray(size[:, 0]),
        rle_width=np.ascontiguousarray(size[:, 1]),
    )
