"""The images that a test has still to do."""

from collections.abc import Iterator, Sequence, Sized

from mmengine.dist import get_dist_info
from torch.utils.data import Sampler


class RemainingSampler(Sampler):
    """This rank's share of some images, each of them on one rank.

    Args:
        dataset: The data set.
        remaining: Positions in it.
    """

    def __init__(self, dataset: Sized, remaining: Sequence[int]) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset  # read by batch samplers that group by aspect ratio
        self.indices = list(remaining)[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def set_epoch(self, epoch: int) -> None:
        """The order is the same in every epoch."""
