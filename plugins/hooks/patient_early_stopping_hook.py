"""Stop a training whose validations have stopped improving, also across interruptions."""

import logging
import math
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdet.registry import HOOKS
from plugins.errors import UserError
from plugins.hooks.early_stopping import RULES, Plateau, mean_score
from plugins.hooks.training_loop import has_training, unit_of


@HOOKS.register_module()
class PatientEarlyStoppingHook(Hook):
    """Stop after ``patience`` validations in a row without an improvement.

    A validation is an improvement if its score exceeds the best so far by more than ``min_delta``.
    An undefined score (NaN, or -1, AP without ground truth) is none. Best score, its epoch and the
    count are in every checkpoint and taken up again when a run is resumed; mmengine's hook starts
    anew then, takes an equal score for an improvement, and its ``min_delta`` of 0.1 is more than a
    long-tailed detector gains in an epoch.

    Its priority, LOW, lies before the checkpoint hook's: what is saved after a validation has its
    outcome.

    Args:
        monitor: Key of the metric, or several of which the mean counts, such as those of APr, APc
            and APf.
        patience: Validations without an improvement, 1 or more.
        min_delta: What a score must gain to be an improvement, in its own unit (AP is in [0, 1]).
        rule: Whether a ``'greater'`` or a ``'less'`` score is better.
        begin_epoch: Validations before this epoch do not count, neither as best nor as bad.
        begin_iter: The same in a run by iterations.
        min_epochs: Train so many epochs at least.
        min_iters: The same in a run by iterations.
    """

    priority = 'LOW'

    def __init__(
        self,
        monitor: str | Sequence[str] = 'lvis/segm_AP_old@300',
        *,
        patience: int = 3,
        min_delta: float = 5e-4,
        rule: str = 'greater',
        begin_epoch: int = 0,
        begin_iter: int = 0,
        min_epochs: int = 0,
        min_iters: int = 0,
    ) -> None:
        keys = list(monitor) if isinstance(monitor, list | tuple) else [monitor]
        if not keys or not all(isinstance(key, str) and key for key in keys):
            raise UserError(
                f'PatientEarlyStoppingHook: monitor must name a metric, or several: {monitor!r}'
            )
        if not isinstance(patience, int) or patience < 1:
            raise UserError(
                f'PatientEarlyStoppingHook: patience must be an integer of 1 or more: {patience!r}'
            )
        if not (math.isfinite(min_delta) and min_delta >= 0):
            raise UserError(
                f'PatientEarlyStoppingHook: min_delta must be 0 or more, not {min_delta}'
            )
        if rule not in RULES:
            raise UserError(
                f"PatientEarlyStoppingHook: rule must be 'greater' or 'less', not {rule!r}"
            )
        self.monitor = tuple(keys)
        self.patience = patience
        self.begin = dict(epoch=begin_epoch, iter=begin_iter)
        self.minimum = dict(epoch=min_epochs, iter=min_iters)
        self.plateau = Plateau(min_delta, rule)
        self._has_told_undefined = False

    @property
    def _name(self) -> str:
        """Under which its state is saved; several of these hooks can watch different metrics."""
        return ' + '.join(self.monitor)

    def before_train(self, runner: Runner) -> None:
        """Stop at once if the resumed run had stopped.

        Raises:
            UserError: An option counts in a unit that the loop does not.
        """
        unit = unit_of(runner.train_loop)
        other, loop = ('iter', 'epochs') if unit == 'epoch' else ('epoch', 'iterations')
        if self.begin[other] or self.minimum[other]:
            raise UserError(
                f'PatientEarlyStoppingHook: begin_{other} and min_{other}s do not apply to a run '
                f'by {loop}; give begin_{unit} and min_{unit}s'
            )
        if self._must_stop(runner):
            self._stop(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Judge a validation of the training.

        Raises:
            UserError: The metrics lack one that is to be monitored.
        """
        # Without a training there is nothing to stop.
        if not has_training(runner):
            return
        score = mean_score(metrics or {}, self.monitor)
        unit = unit_of(runner.train_loop)
        now = getattr(runner, unit)
        if now < self.begin[unit]:
            return
        if math.isnan(score) and not self._has_told_undefined:
            self._has_told_undefined = True
            print_log(
                f'{self._name} is undefined (NaN or -1) at {unit} {now}; such validations count as '
                'ones without an improvement',
                logger='current',
                level=logging.WARNING,
            )
        self.plateau.add(score, now)
        if self._must_stop(runner):
            self._stop(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note best score, its epoch and the count of validations since."""
        states = checkpoint['meta'].setdefault('early_stopping', {})
        states[self._name] = self.plateau.state()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Go on where the checkpoint of a resumed run was."""
        if not runner._resume:
            return
        state = checkpoint.get('meta', {}).get('early_stopping', {}).get(self._name)
        if state is None:
            print_log(
                f'the checkpoint knows no best {self._name}: early stopping starts anew',
                logger='current',
                level=logging.WARNING,
            )
        else:
            self.plateau.resume(state)

    def _must_stop(self, runner: Runner) -> bool:
        unit = unit_of(runner.train_loop)
        is_due = getattr(runner, unit) >= self.minimum[unit]
        return is_due and self.plateau.bad_count >= self.patience

    def _stop(self, runner: Runner) -> None:
        unit, plateau = unit_of(runner.train_loop), self.plateau
        best = 'none was defined'
        if plateau.best is not None:
            best = f'the best was {plateau.best:.4f} at {unit} {plateau.best_at}'
        print_log(
            f'early stopping at {unit} {getattr(runner, unit)}: {self._name} has not improved by '
            f'more than {plateau.min_delta} in {plateau.bad_count} validations; {best}',
            logger='current',
        )
        runner.train_loop.stop_training = True
