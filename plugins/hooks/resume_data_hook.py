"""A resumed run goes on with the batch after the last one it trained on."""

import logging

from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader, Sampler

from mmdet.registry import HOOKS


@HOOKS.register_module()
class ResumeDataHook(Hook):
    """Place the training data where the checkpoint was saved, without loading what comes before.

    mmengine restarts the epoch (epoch-based loop, with wrong counts ever after) or loads every
    batch of the whole run again (iteration-based loop), and draws another order if the config sets
    no seed. Here the sampler gets the seed it had and its batch sampler, one with ``skip_batches``,
    starts behind the batches that were done; order, number of iterations, and what happens at the
    end of the epoch are those of a run that was never interrupted. Only the batch number within the
    resumed epoch that mmengine logs starts from one.

    The checkpoint says in ``meta['train_data']`` where the data stood: ``sampler_seed``,
    ``batches_per_epoch`` and ``batches_done`` of the current epoch. With a batch sampler of this
    repository transforms also draw what they would have drawn, see ``SeededDraws``; with another
    one mmengine seeds the workers of a resumed run as those of a new one.
    """

    # After DistSamplerSeedHook, which chooses the epoch of the sampler.
    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._saved: dict = {}
        self._is_placed = False
        self._epoch = 0
        self._first_iter = 0

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note where the data stands."""
        meta, loader = checkpoint['meta'], runner.train_dataloader
        # A checkpoint of the end of an epoch already counts it as done.
        is_inside = meta['epoch'] == self._epoch
        meta['train_data'] = dict(
            sampler_seed=_seed_of(_sampler_of(loader)),
            batches_per_epoch=len(loader),
            batches_done=meta['iter'] - self._first_iter if is_inside else 0,
        )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read where the data stood; files of other programs do not say."""
        meta = checkpoint.get('meta')
        self._saved = meta.get('train_data', {}) if isinstance(meta, dict) else {}

    def before_train_epoch(self, runner: Runner) -> None:
        """Place the data, once, if the run was resumed."""
        loop = runner.train_loop
        self._epoch, self._first_iter = loop.epoch, loop.iter
        if loop.iter > 0 and not self._is_placed:
            _restore_seed(_sampler_of(loop.dataloader), self._saved.get('sampler_seed'))
            if isinstance(loop, EpochBasedTrainLoop):
                self._first_iter -= self._place_in_epoch(loop)
            elif isinstance(loop, IterBasedTrainLoop):
                _place_in_run(loop)
        self._is_placed = True

    def _place_in_epoch(self, loop: EpochBasedTrainLoop) -> int:
        """Skip the batches of this epoch that are done; return how many."""
        length = len(loop.dataloader)
        saved_length = self._saved.get('batches_per_epoch', length)
        done = self._saved.get('batches_done', loop.iter - loop.epoch * length)
        if done == 0:
            return 0
        reason = None
        if not self._saved:
            reason = 'the checkpoint does not say how many batches it had'
        elif saved_length != length:
            reason = f'it had {saved_length} batches and has {length} now'
        elif not hasattr(loop.dataloader.batch_sampler, 'skip_batches'):
            reason = _not_resumable(loop.dataloader)
        if reason is not None:
            _warn(f'epoch {loop.epoch + 1}, during which the run stopped, starts anew: {reason}')
            return 0
        loop.dataloader.batch_sampler.skip_batches(done)
        _tell(f'epoch {loop.epoch + 1} goes on after {done} of its {length} batches')
        return done


class _FreeReplay:
    """The loop's iterator, whose first steps, which mmengine throws away, cost nothing."""

    def __init__(self, batches: object, num_free: int) -> None:
        self._batches = batches
        self._num_free = num_free

    def __next__(self) -> object:
        if self._num_free > 0:
            self._num_free -= 1
            return None
        return next(self._batches)


def _place_in_run(loop: IterBasedTrainLoop) -> None:
    """Let an iteration-based loop go on after ``loop.iter`` batches."""
    loader = loop.dataloader
    sampler = _sampler_of(loader)
    epoch, done, num_free = *divmod(loop.iter, len(loader)), loop.iter
    if isinstance(sampler, InfiniteSampler):
        # Its one endless list has been begun by the loop; a new sampler has it from the start.
        sampler.indices = type(sampler)(sampler.dataset, sampler.shuffle, sampler.seed).indices
        epoch, done = 0, loop.iter
    if hasattr(loader.batch_sampler, 'skip_batches'):
        loader.batch_sampler.skip_batches(done)
        _tell(f'the data goes on after {done} batches of round {epoch + 1}; none is loaded again')
    else:
        epoch, num_free = 0, 0
        _warn(f'the {loop.iter} batches done so far are loaded once more: {_not_resumable(loader)}')
    if hasattr(sampler, 'set_epoch'):
        sampler.set_epoch(epoch)
    # The loop began to iterate when it was built, before it knew epoch and seed.
    batches = loop.dataloader_iterator
    batches._epoch = epoch
    batches._iterator = iter(loader)
    loop.dataloader_iterator = _FreeReplay(batches, num_free)


def _sampler_of(loader: DataLoader) -> Sampler | None:
    # The loader's own `sampler` is a stand-in if the config names a batch sampler.
    return getattr(loader.batch_sampler, 'sampler', None)


def _seed_of(sampler: Sampler | None) -> int | None:
    seed = getattr(sampler, 'seed', None)
    return None if seed is None else int(seed)


def _restore_seed(sampler: Sampler | None, seed: int | None) -> None:
    if seed is not None and hasattr(sampler, 'seed'):
        sampler.seed = seed


def _not_resumable(loader: DataLoader) -> str:
    return (
        f'train_dataloader.batch_sampler is {type(loader.batch_sampler).__name__}, which cannot '
        'be resumed; use ResumableBatchSampler or ResumableAspectRatioBatchSampler'
    )


def _warn(text: str) -> None:
    print_log(text, logger='current', level=logging.WARNING)


def _tell(text: str) -> None:
    print_log(text, logger='current')
