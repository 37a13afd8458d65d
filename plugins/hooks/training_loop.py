"""What hooks ask of the loop that trains."""

from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner


def has_training(runner: Runner) -> bool:
    """Say whether a runner trains; asked for by its name, the loop would be built."""
    return isinstance(runner._train_loop, BaseLoop)


def unit_of(loop: BaseLoop) -> str:
    """Return what a training loop counts: ``'epoch'`` or ``'iter'``."""
    return 'iter' if isinstance(loop, IterBasedTrainLoop) else 'epoch'
