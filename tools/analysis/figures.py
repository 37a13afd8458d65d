"""What the analysis tools share on paper: colours of the groups, tables, pictures, JSON."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from tools.light import import_light

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

GROUPS = {
    'all': ('all', '#333333'),
    'r': ('rare', '#c0392b'),
    'c': ('common', '#e08a1e'),
    'f': ('frequent', '#3b6fb6'),
}
"""Frequency group -> name and colour."""


def console() -> 'Console':
    """Where tables go; 110 columns wide in a file or a pipe, which have no width to fit in."""
    from rich.console import Console

    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=110)


def percent(value: float | None) -> str:
    """An AP in [0, 1] as per cent with two decimals; a dash where it is undefined."""
    if value is None or math.isnan(value) or value == -1:
        return '-'
    return f'{100 * value:.2f}'


def save_figure(figure: 'Figure', path: Path) -> Path:
    """Write a picture, all of it or nothing, and forget the figure."""
    import matplotlib.pyplot as plt

    with import_light('atomic_file').atomic_file(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110)
    plt.close(figure)
    return path


def save_json(content: dict, path: Path) -> Path:
    """Write JSON at full precision, all of it or nothing."""
    with import_light('atomic_file').atomic_file(path) as file:
        file.write(f'{json.dumps(content, indent=1, allow_nan=False)}\n'.encode())
    return path
