"""Random draws that depend on (seed, rank, iteration) alone."""

import numpy as np
import torch
from mmengine.dist import get_rank


class DrawsPerStep:
    """Put before ``ClassificationLoss`` among the bases of a loss that draws at every iteration.

    Seed and number of draws are saved with the weights: a resumed run continues the sequence, also
    if its config names no seed.
    """

    def __init__(self, **kwargs) -> None:
        # The values of the buffers, which a GPU would have to be asked for.
        self._seed, self._num_draws = 0, 0
        super().__init__(**kwargs)
        self.register_buffer('draw_seed', torch.tensor(0))
        self.register_buffer('num_draws', torch.tensor(0))

    def start_training(self, *, seed: int, resumed: bool) -> None:
        """Take the seed of the run; a resumed one has it already."""
        super().start_training(seed=seed, resumed=resumed)
        if not resumed:
            self._seed = seed
            self.draw_seed.fill_(seed)

    def next_generator(self, device: torch.device) -> torch.Generator:
        """Return the generator of this iteration."""
        state = np.random.SeedSequence((self._seed, get_rank(), self._num_draws))
        self._num_draws += 1
        self.num_draws.fill_(self._num_draws)
        seed = int(state.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device).manual_seed(seed)

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._seed, self._num_draws = int(self.draw_seed), int(self.num_draws)
