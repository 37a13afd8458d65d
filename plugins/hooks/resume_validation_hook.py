"""A resumed run makes up for a validation that its checkpoint knows nothing of."""

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdet.registry import HOOKS
from plugins.hooks.training_loop import has_training, unit_of


@HOOKS.register_module()
class ResumeValidationHook(Hook):
    """Validate before the first step, if the checkpoint was saved just before a validation.

    A checkpoint of an epoch is written before the epoch is validated, and again only if the
    validation gives a new best. A run that is killed meanwhile, or later without a new best, would
    go on as if that validation had never been: early stopping counts one less, the AP curve has a
    gap, the best checkpoint may be missed. Here it is done (once more), with the weights that it
    had. The checkpoint says in ``meta['validated']`` after how many epochs and iterations the last
    validation was; one that does not say is taken as it is.
    """

    # The checkpoint hook, VERY_LOW, must know by then where to save.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._is_resumed = False

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note when the last validation was."""
        checkpoint['meta']['validated'] = dict(self._last)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read when the last validation was."""
        validated = checkpoint.get('meta', {}).get('validated') if runner._resume else None
        self._is_resumed = validated is not None
        self._last = dict(validated or {})

    def before_val_epoch(self, runner: Runner) -> None:
        """Note the validation; it is saved with its outcome, which comes next."""
        if has_training(runner):
            self._last = dict(epoch=runner.epoch, iter=runner.iter)

    def before_train(self, runner: Runner) -> None:
        """Validate, if that is due and was not done."""
        loop = runner.train_loop
        unit = unit_of(loop)
        now = getattr(loop, unit)
        if self._is_resumed and _is_due(runner, now) and self._last.get(unit) != now:
            print_log(
                f'the checkpoint knows nothing of the validation at {unit} {now}: it comes first',
                logger='current',
            )
            runner.val_loop.run()
        self._is_resumed = False


def _is_due(runner: Runner, now: int) -> bool:
    """Say whether the training loop validates after ``now`` epochs or iterations."""
    loop = runner.train_loop
    if runner.val_loop is None or now == 0 or now < loop.val_begin:
        return False
    # Intervals can change during a training.
    loop._decide_current_val_interval()
    last = loop.max_iters if unit_of(loop) == 'iter' else loop.max_epochs
    return now % loop.val_interval == 0 or now == last
