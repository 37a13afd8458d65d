"""What a model draws at random in a step depends on the step, not on what was drawn before."""

import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdet.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed ``torch``, ``numpy`` and ``random`` anew before every training step.

    The seed is made of (seed of the run, rank, iteration). So a resumed run samples proposals and
    drops paths as the run that was killed would have: mmengine saves the seed of a run, which is
    also drawn if the config names none, but not how far its random numbers had come. Together with
    ``ResumeDataHook`` a resumed run on the same hardware is the undisturbed one, as far as its
    arithmetic is deterministic.
    """

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Seed this process's generators for the step to come."""
        state = np.random.SeedSequence((runner.seed, get_rank(), runner.iter))
        seeds = state.generate_state(3)
        torch.manual_seed(int(seeds[0]))
        np.random.seed(seeds[1])
        random.seed(int(seeds[2]))
