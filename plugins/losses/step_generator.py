"""Random draws that depend on (seed, rank, iteration) alone."""

import numpy as np
import torch
from mmengine.dist import get_rank


class DrawsPerStep:
    """Put before ``ClassificationLoss`` among the bases of a loss that draws at every iteration.

    The number of draws made so far is saved with the weights: a resumed run continues the sequence.
    """

    def __init__(self, **kwargs) -> None:
        self._seed = 0
        self._num_draws = 0  # the buffer's value, which a GPU would have to be asked for
        super().__init__(**kwargs)
        self.register_buffer('num_draws', torch.tensor(0))

    def start_training(self, *, seed: int, resumed: bool) -> None:
        """Take the seed of the run."""
        super().start_training(seed=seed, resumed=resumed)
        self._seed = seed

    def next_generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of this iteration."""
        state = np.random.SeedSequence((self._seed, get_rank(), self._num_draws))
        self._num_draws += 1
        self.num_draws.fill_(self._num_draws)
        seed = int(state.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device).manual_seed(seed)

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._num_draws = int(self.num_draws)
