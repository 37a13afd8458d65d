"""A folder in which all processes of a test store what they detect."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process

from plugins.errors import UserError
from plugins.evaluation.stream.image_record import decode
from plugins.evaluation.stream.shards import FileShard

_SUFFIX = '.detections'


@dataclass
class ShardFolder:
    """The shards of one test: those of earlier attempts and one per process of this one.

    Attributes:
        path: The folder.
        attempt: How often this test was begun before.
        earlier: Names of the shards that earlier attempts left, in order.
        finished: Ids of the images in them.
    """

    path: Path
    attempt: int = 0
    earlier: tuple[str, ...] = ()
    finished: frozenset[int] = frozenset()
    _expected: set[int] = field(default_factory=set)

    @classmethod
    def reopen(cls, path: Path) -> 'ShardFolder':
        """Look what earlier attempts left in a folder."""
        names = sorted(shard.name for shard in path.glob(f'*{_SUFFIX}'))
        finished = {
            decode(payload).img_id for name in names for _, payload in FileShard(path / name).scan()
        }
        attempt = 1 + max((int(name.partition('-')[0]) for name in names), default=-1)
        return cls(path, attempt, tuple(names), frozenset(finished))

    def own_shard(self, rank: int) -> FileShard:
        """The shard of a process."""
        return FileShard(self.path / self._name(rank))

    def collect(self, own_images: set[int]) -> list[FileShard] | None:
        """Wait for all processes; return all shards on the main process, None elsewhere.

        Args:
            own_images: Ids of the images that this process has stored.
        """
        by_rank = all_gather_object(own_images)
        if not is_main_process():
            return None
        self._expected = set(self.finished).union(*by_rank)
        names = [*self.earlier, *(self._name(rank) for rank in range(len(by_rank)))]
        return [FileShard(self.path / name) for name in names]

    def require_complete(self, image_ids: Sequence[int]) -> None:
        """Raise if images that were stored cannot be read."""
        lost = self._expected.difference(image_ids)
        if lost:
            raise UserError(
                f'{len(lost)} of the {len(self._expected)} images stored in {self.path} are '
                f'damaged (image {min(lost)}, for one); test again with --resume, which repeats '
                'only those'
            )

    def _name(self, rank: int) -> str:
        return f'{self.attempt:04d}-{rank:04d}{_SUFFIX}'
