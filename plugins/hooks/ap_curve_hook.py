"""A picture of AP over the epochs, drawn anew after every validation."""

import logging
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdet.registry import HOOKS
from plugins.errors import UserError
from plugins.hooks.ap_curve import (
    FILE_TYPES,
    Validation,
    ap_values,
    draw_ap_curve,
    find_panels,
)
from plugins.hooks.training_loop import has_training, unit_of


@HOOKS.register_module()
class APCurveHook(Hook):
    """Draw AP, APr, APc and APf over epochs or iterations into the work dir.

    As in figure 1 of FuXi-Fresher (LVIS Challenge 2021), which shows where rare categories are past
    their best while frequent ones still gain. There is a diagram for masks, boundaries and boxes by
    each protocol, as far as the validation reports them; the best validation by overall AP is
    marked.

    The curve is part of every checkpoint, so a resumed run goes on with it. A picture that cannot
    be drawn is a warning: training goes on. The priority, LOW, lies before the checkpoint hook's:
    what is saved after a validation has its point.

    Args:
        filename: Name of the picture in the work dir: PNG, PDF or SVG.
    """

    priority = 'LOW'

    def __init__(self, filename: str = 'ap_curve.png') -> None:
        if Path(filename).suffix not in FILE_TYPES:
            types = ', '.join(FILE_TYPES)
            raise UserError(f'APCurveHook: filename must end in one of {types}: {filename!r}')
        self.filename = filename
        self.history: list[Validation] = []
        self._told: set[str] = set()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add a validation of the training to the curve and draw it."""
        # Of a validation alone there is no curve.
        if not has_training(runner):
            return
        unit = unit_of(runner.train_loop)
        now = getattr(runner, unit)
        # One that is repeated, because the run was killed during it, replaces itself.
        self.history = [validation for validation in self.history if validation.at < now]
        self.history.append(Validation(now, ap_values(metrics or {})))
        if is_main_process():
            self._draw(Path(runner.work_dir), 'iteration' if unit == 'iter' else 'epoch')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the curve."""
        points = [dict(at=validation.at, values=validation.values) for validation in self.history]
        checkpoint['meta']['ap_curve'] = points

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on with the curve of a run that is resumed."""
        if runner._resume:
            points = checkpoint.get('meta', {}).get('ap_curve', [])
            self.history = [Validation(point['at'], point['values']) for point in points]

    def _draw(self, folder: Path, unit: str) -> None:
        if not find_panels(self.history):
            self._warn('the validation reports no AP that could be drawn')
            return
        # Whatever goes wrong with a picture, days of training must not end with it.
        try:
            draw_ap_curve(self.history, unit, folder / self.filename)
        except Exception as error:
            self._warn(f'{folder / self.filename} was not drawn: {type(error).__name__}: {error}')

    def _warn(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            print_log(text, logger='current', level=logging.WARNING)
