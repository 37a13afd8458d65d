"""Checkpoints that can be trusted: read without executing code, written whole or not at all."""

from plugins.checkpoints.atomic_backend import AtomicLocalBackend
from plugins.checkpoints.download import load_from_http
from plugins.checkpoints.loading import CheckpointError, load_from_local
from plugins.checkpoints.resume import latest_complete_checkpoint
from plugins.checkpoints.safe_globals import allow_runner_globals

__all__ = [
    'AtomicLocalBackend',
    'CheckpointError',
    'allow_runner_globals',
    'latest_complete_checkpoint',
    'load_from_http',
    'load_from_local',
]
