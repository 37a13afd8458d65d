"""AP of a training over time as a picture: overall, rare, common and frequent categories."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.atomic_file import atomic_file
from plugins.hooks.early_stopping import is_undefined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE_TYPES = ('.png', '.pdf', '.svg')

_AP = re.compile(
    r'(?:(?P<source>.*)/)?(?P<kind>[a-z]+)_m?AP(?P<group>[rcf]?)(?:_(?P<by>\S+@-?\d+))?'
)
_KINDS = {'segm': 'mask', 'boundary': 'boundary', 'bbox': 'box'}
_GROUPS = {
    '': ('all', '#333333'),
    'r': ('rare', '#c0392b'),
    'c': ('common', '#e08a1e'),
    'f': ('frequent', '#3b6fb6'),
}


@dataclass(frozen=True)
class Panel:
    """One diagram: the curves of one metric, protocol and kind of IoU.

    Args:
        source: Prefix of the metric, such as ``'lvis'``.
        protocol: Such as ``'old@300'``; empty where the metric does not name it.
        kind: Such as ``'segm'``.
    """

    source: str
    protocol: str
    kind: str

    @property
    def title(self) -> str:
        """What is shown, with its protocol: ``'lvis: mask AP_old@300'``."""
        name = '_'.join(filter(None, ('AP', self.protocol)))
        text = f'{_KINDS.get(self.kind, self.kind)} {name}'
        return f'{self.source}: {text}' if self.source else text


@dataclass(frozen=True)
class Validation:
    """The metrics of one validation.

    Args:
        at: Epoch or iteration.
        values: AP in [0, 1] by its key; -1 or NaN where undefined.
    """

    at: int
    values: Mapping[str, float]


def ap_values(metrics: Mapping[str, float]) -> dict[str, float]:
    """Choose what is drawn: AP, APr, APc and APf of every metric, protocol and kind of IoU."""
    return {key: float(value) for key, value in metrics.items() if _AP.fullmatch(key)}


def find_panels(history: Sequence[Validation]) -> dict[Panel, dict[str, str]]:
    """Return the diagrams, and for each the keys of its curves by frequency group.

    Curves that are undefined everywhere, and diagrams without a curve, are left out.
    """
    panels: dict[Panel, dict[str, str]] = {}
    for key in dict.fromkeys(key for validation in history for key in validation.values):
        if any(math.isfinite(value) for value in _series(history, key)):
            parts = _AP.fullmatch(key)
            panel = Panel(parts['source'] or '', parts['by'] or '', parts['kind'])
            panels.setdefault(panel, {})[parts['group']] = key
    return panels


def draw_ap_curve(history: Sequence[Validation], unit: str, path: Path) -> None:
    """Draw the curves into a file, all of it or nothing.

    A row for every protocol, in it the masks first; the best validation by overall AP is marked.

    Args:
        history: Validations in the order of training, at least one with a defined AP.
        unit: What ``at`` counts: ``'epoch'`` or ``'iteration'``.
        path: The file; its name says the type, one of ``FILE_TYPES``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = find_panels(history)
    rows = list(dict.fromkeys((panel.source, panel.protocol) for panel in panels))
    kinds = [kind for kind in _KINDS if any(panel.kind == kind for panel in panels)]
    kinds += sorted({panel.kind for panel in panels} - set(kinds))
    figure = Figure(figsize=(5.2 * len(kinds), 3.8 * len(rows)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(kinds), squeeze=False)
    for row, (source, protocol) in enumerate(rows):
        for column, kind in enumerate(kinds):
            panel = Panel(source, protocol, kind)
            if panel in panels:
                _draw_panel(axes[row, column], panel, panels[panel], history, unit)
            else:
                axes[row, column].set_axis_off()
    with atomic_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110)


def _draw_panel(
    axes: 'Axes',
    panel: Panel,
    keys: Mapping[str, str],
    history: Sequence[Validation],
    unit: str,
) -> None:
    from matplotlib.ticker import MaxNLocator

    times = [validation.at for validation in history]
    for group, (label, colour) in _GROUPS.items():
        if group not in keys:
            continue
        values = _series(history, keys[group])
        name = f'AP{group} ({label})'
        width = 2.2 if group == '' else 1.4
        axes.plot(times, values, color=colour, lw=width, marker='o', ms=3, label=name)
    if '' in keys:
        _mark_best(axes, times, _series(history, keys['']), unit)
    axes.set_title(panel.title, fontsize=11)
    axes.set_xlabel(unit)
    axes.set_ylabel('AP (%)')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(times) == 1:
        axes.set_xticks(times)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, framealpha=0.6)


def _mark_best(axes: 'Axes', times: Sequence[int], values: Sequence[float], unit: str) -> None:
    defined = [i for i, value in enumerate(values) if math.isfinite(value)]
    best = max(defined, key=lambda i: values[i])  # the first of several
    _, colour = _GROUPS['']
    axes.axvline(times[best], color=colour, lw=0.8, ls=':')
    label = f'best AP {values[best]:.2f} at {unit} {times[best]}'
    axes.plot(times[best], values[best], color=colour, marker='*', ms=11, ls='none', label=label)


def _series(history: Sequence[Validation], key: str) -> list[float]:
    """One metric over time in per cent, NaN where it is undefined."""
    values = [validation.values.get(key, math.nan) for validation in history]
    return [math.nan if is_undefined(value) else 100 * value for value in values]
