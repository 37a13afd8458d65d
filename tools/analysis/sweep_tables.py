"""The tables of ``sweep.py``: what each varies, and what was published for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.analysis.capped import (
    KEYS,
    average_precision,
    keep_per_image_then_category,
    pooled_precision,
)
from tools.light import import_light

if TYPE_CHECKING:
    from plugins.evaluation.engine import GroundTruth, Matches

_DEVIL = 'The Devil is in the Details (2021)'
_BASELINE = 'Mask R-CNN R50-FPN with repeat-factor sampling, mask AP on LVIS v1 val'
_RERANK, _CAP, _WIDE_CAP, _FIXED = 10_000, 300, 5000, 10_000

# All published values in per cent: AP, APr, APc, APf, as far as the papers give them.
_RERANKING = {0: (22.6, 12.6, 21.1, 28.6), _RERANK: (23.8, 15.5, 22.7, 28.5)}
_PER_IMAGE = {
    100: (18.2, 6.5, 15.8, 26.1),
    300: (22.6, 12.6, 21.1, 28.6),
    1000: (25.0, 16.8, 24.1, 29.7),
    2000: (25.6, 18.1, 24.6, 29.9),
    5000: (26.0, 19.7, 24.9, 30.0),
    10000: (26.1, 19.8, 25.0, 30.1),
}
_SUBSETS = {
    'r': (18.5, 19.0),
    'c': (24.6, 25.0),
    'f': (28.7, 30.0),
    'rc': (22.2, 23.3),
    'cf': (24.7, 27.4),
    'rf': (24.1, 26.6),
    'rcf': (22.6, 26.0),
}
_PER_CLASS = {
    1000: (21.9, 17.7, 22.2, 23.5),
    5000: (25.0, 19.5, 24.4, 28.2),
    10000: (25.6, 19.7, 24.7, 29.1),
    30000: (26.0, 19.8, 24.9, 29.8),
    50000: (26.0, 19.9, 25.0, 30.0),
}
_POOL = {
    300: (26.2, 8.0, 16.7, 27.0),
    1000: (26.8, 10.6, 19.8, 27.6),
    2000: (27.0, 11.0, 20.5, 27.7),
    5000: (27.0, 11.3, 20.8, 27.7),
    10000: (27.0, 11.3, 20.8, 27.7),
}
_BOUNDARY = {
    300: (44.1, 40.4, 45.3, 44.4),
    500: (44.9, 42.6, 45.9, 44.8),
    800: (45.2, 43.4, 46.2, 44.9),
    1000: (45.3, 43.5, 46.3, 44.9),
}


@dataclass(frozen=True)
class Row:
    """One setting of a table.

    Attributes:
        label: The setting in words.
        x: Where it is drawn: a cap, or a position.
        ours: Values in [0, 1], as the table's columns say, -1 where undefined.
        published: The same in per cent, empty where nothing was published.
    """

    label: str
    x: int
    ours: tuple[float, ...]
    published: tuple[float, ...]


@dataclass(frozen=True)
class Matched:
    """Annotations with the outcome of the engine's matching by LVIS rules, M results."""

    ground_truth: 'GroundTruth'
    matches: 'Matches'

    def average_precision(self, keep: np.ndarray, groups: str = '') -> tuple[float, ...]:
        """AP, APr, APc, APf of the results that count, bool (M,); see `average_precision`."""
        return average_precision(self.ground_truth, self.matches, keep, groups)


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        title: What is varied and measured.
        source: Where the published values come from, and for which model.
        caps: Default settings.
        rows: From matched results and caps to the rows, one after the other.
        needs_boundary: Overlap is that of boundaries, whatever was asked for.
        x_label: Horizontal axis if the rows are drawn as lines over a cap; else bars are drawn.
        columns: What the values of a row are; by default one value for each cap.
    """

    title: str
    source: str
    caps: tuple[int, ...]
    rows: Callable[['Matched', Sequence[int]], Iterator[Row]]
    needs_boundary: bool = False
    x_label: str = ''
    columns: tuple[str, ...] = KEYS


@dataclass(frozen=True)
class FilledTable:
    """A table with numbers.

    Attributes:
        table: What was asked for.
        iou_type: ``'segm'``, ``'bbox'`` or ``'boundary'``.
        caps: The settings.
        rows: Their numbers.
    """

    table: Table
    iou_type: str
    caps: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What the values of a row are."""
        return self.table.columns or tuple(f'AP_old@{cap}' for cap in self.caps)


def _reranking(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    engine = import_light('evaluation.engine')
    plain = data.average_precision(engine.keep_per_image(data.matches, _CAP))
    yield Row(f'AP_old@{_CAP}', 0, plain, _RERANKING[0])
    for place, cap in enumerate(caps, 1):
        keep = engine.keep_reranked(data.matches, cap, _CAP)
        published = _RERANKING.get(cap, ())
        yield Row(f'best {cap:,} per class first', place, data.average_precision(keep), published)


def _per_image(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    engine = import_light('evaluation.engine')
    for cap in caps:
        ours = data.average_precision(engine.keep_per_image(data.matches, cap))
        yield Row(f'AP_old@{cap}', cap, ours, _PER_IMAGE.get(cap, ()))


def _subsets(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    engine = import_light('evaluation.engine')
    for place, (groups, published) in enumerate(_SUBSETS.items()):
        chosen = engine.in_groups(data.ground_truth.frequency, groups)
        keeps = [engine.keep_subset(data.matches, chosen, cap) for cap in caps]
        ours = tuple(data.average_precision(keep, groups)[0] for keep in keeps)
        known = published if tuple(caps) == (_CAP, _WIDE_CAP) else ()
        yield Row(' + '.join(groups), place, ours, known)


def _per_class(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    engine = import_light('evaluation.engine')
    for cap in caps:
        ours = data.average_precision(engine.keep_per_category(data.matches, cap))
        yield Row(f'AP_fixed@{cap}', cap, ours, _PER_CLASS.get(cap, ()))


def _pool(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    engine = import_light('evaluation.engine')
    for cap in caps:
        keep = engine.keep_per_image(data.matches, cap)
        ours = pooled_precision(data.ground_truth, data.matches, keep)
        yield Row(f'AP_pool, {cap} per image', cap, ours, _POOL.get(cap, ()))


def _boundary(data: Matched, caps: Sequence[int]) -> Iterator[Row]:
    for cap in caps:
        keep = keep_per_image_then_category(data.matches, cap, _FIXED)
        ours = data.average_precision(keep)
        yield Row(f'AP_fixed@{_FIXED}, {cap} per image', cap, ours, _BOUNDARY.get(cap, ()))


TABLES = {
    'reranking': Table(
        f'Gameability: AP_old@{_CAP} after keeping the best of each class only',
        f'table 1 of {_DEVIL}: {_BASELINE}',
        (_RERANK,),
        _reranking,
    ),
    'per-image': Table(
        'AP_old over results per image',
        f'table 2 of {_DEVIL}: {_BASELINE}',
        tuple(_PER_IMAGE),
        _per_image,
        x_label='results per image',
    ),
    'subsets': Table(
        'AP_old of category subsets alone, results of others removed before the cap',
        f'table 3 of {_DEVIL}: {_BASELINE}',
        (_CAP, _WIDE_CAP),
        _subsets,
        columns=(),
    ),
    'per-class': Table(
        'AP_fixed over results per class',
        f'table 4 of {_DEVIL}: {_BASELINE}',
        tuple(_PER_CLASS),
        _per_class,
        x_label='results per class',
    ),
    'pool': Table(
        'AP_pool over results per image',
        f'table 6 of {_DEVIL}: {_BASELINE}',
        tuple(_POOL),
        _pool,
        x_label='results per image',
    ),
    'boundary': Table(
        f'Boundary AP_fixed@{_FIXED} over results per image',
        'table 5 of the report of the LVIS 2021 winner: CBNetV2 Swin-L, LVIS v1 val',
        tuple(_BOUNDARY),
        _boundary,
        needs_boundary=True,
        x_label='results per image',
    ),
}
"""Name on the command line -> table."""
