"""Checkpoints that are never half-written, and of which one complete one always exists."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmdet.registry import HOOKS


class _PostponedRemoval:
    """The hook's file backend, with removals collected instead of carried out."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        """Remember ``path``; the caller removes it once its successor is complete."""
        self.removed.append(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """``CheckpointHook`` whose files appear complete or not at all.

    Stock writes the file in place and, with ``max_keep_ckpts`` or ``save_best``, deletes the old
    checkpoint before it writes the new one: a job killed at that moment has lost both. Here the
    file is written under a temporary name and renamed, and old ones go only after that.

    Args:
        backend_args: Where checkpoints go; the default writes atomically to the local disk.
        **kwargs: As in ``CheckpointHook``.
    """

    def __init__(self, *, backend_args: dict | None = None, **kwargs) -> None:
        backend_args = backend_args or dict(backend='atomic_local')
        super().__init__(backend_args=backend_args, **kwargs)

    @contextmanager
    def _removal_after_save(self) -> Iterator[None]:
        backend = self.file_backend
        self.file_backend = _PostponedRemoval(backend)
        try:
            yield
            postponed = self.file_backend.removed
        finally:
            self.file_backend = backend
        for path in postponed:
            # A resumed run can write the very name that was to be removed.
            if path not in self._current_files():
                backend.remove(path)

    def _current_files(self) -> set[str | None]:
        best = getattr(self, 'best_ckpt_path', None)
        best_of_each_key = getattr(self, 'best_ckpt_path_dict', {})
        return {self.last_ckpt, best, *best_of_each_key.values()}

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._removal_after_save():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        # A validation without training, for which no place to save was made ready.
        if not self.save_best or not hasattr(self, 'file_backend'):
            return
        with self._removal_after_save():
            super()._save_best_checkpoint(runner, metrics)
