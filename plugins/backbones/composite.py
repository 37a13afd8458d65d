"""Several backbones of one kind, each fed by the one before it."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from plugins.backbones.shared_weights import initialize_alike
from plugins.errors import UserError


class CompositeBackbone(BaseModule):
    """The composite backbone of CBNetV2 (Liang et al. 2022) with its dense connections (DHLC).

    Stage i of backbone k + 1 receives, besides its own input, what backbone k made at level i and
    all coarser ones: ``sum_j up(connection_ij(map_i+j))``, up to the size of its own input by the
    nearest value. Stages before ``first_stage`` exist in the first backbone only; the others take
    its maps. The last backbone is the lead, the others assist it.

    The stem and the shared stages run once. A subclass says how its networks enter, run a
    stage and take a feed.

    Args:
        networks: The backbones, first to last, the parts that they do not need dropped.
        connections: Of every transition k -> k + 1, of every stage i, of every j.
        first_stage: First stage that all backbones have.
        out_indices: Stages whose maps are returned.
        cb_zero_init: Start with connections that add nothing.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        connections: nn.ModuleList,
        *,
        first_stage: int,
        out_indices: Sequence[int],
        cb_zero_init: bool,
    ) -> None:
        super().__init__()
        if not set(out_indices) <= set(range(len(connections[0]))):
            raise UserError(
                f'backbone.out_indices is {tuple(out_indices)}, but there are '
                f'{len(connections[0])} stages, counted from 0'
            )
        self.cb_modules = nn.ModuleList(networks)
        self.cb_linears = connections
        self.first_stage = first_stage
        self.out_indices = tuple(out_indices)
        self.cb_zero_init = cb_zero_init
        self.train()

    @property
    def num_stages(self) -> int:
        """Number of stages of the first backbone."""
        return len(self.cb_linears[0])

    def init_weights(self) -> None:
        """Give every backbone its weights, those of one file if there is one.

        Raises:
            UserError: ``init_cfg`` names a file of which nothing fits.
        """
        initialize_alike(self.cb_modules)
        if self.cb_zero_init:
            for connection in self._connections():
                self._zero(connection)
        self._is_init = True

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps of the lead.

        Args:
            x: Float (N, 3, H, W) images, normalised.

        Returns:
            One float (N, C_i, H_i, W_i) map for each of ``out_indices``.
        """
        return self.forward_all(x)[-1]

    def forward_all(self, x: Tensor) -> tuple[tuple[Tensor, ...], ...]:
        """Compute the maps of all backbones, the assistants' first and the lead's last."""
        shared, entry = [], self._enter(self.cb_modules[0], x)
        for stage in range(self.first_stage):
            level, entry = self._advance(self.cb_modules[0], stage, entry)
            shared.append(level)
        pyramids = []
        for number in range(len(self.cb_modules)):
            before = pyramids[-1] if pyramids else None
            pyramids.append([*shared, *self._run(number, entry, before)])
        return tuple(tuple(maps[i] for i in self.out_indices) for maps in pyramids)

    def compose(
        self, transition: int, stage: int, maps: Sequence[Tensor], size: tuple[int, int]
    ) -> Tensor:
        """Compute what a stage of the next backbone receives.

        Args:
            transition: k, counted from 0, for the step from backbone k to k + 1.
            stage: i, at least ``first_stage``.
            maps: Of all stages of backbone k.
            size: Height and width of the stage's input.

        Returns:
            Float (N, C, height, width), C channels as the input of the stage.
        """
        feed = None
        for connection, level in zip(self.cb_linears[transition][stage], maps[stage:], strict=True):
            part = connection(level)
            if part.shape[-2:] != size:
                part = F.interpolate(part, size=size, mode='nearest')
            # Not in place: the first part may be a map of the backbone itself.
            feed = part if feed is None else feed + part
        return feed

    def _run(self, number: int, entry: object, before: list[Tensor] | None) -> Iterator[Tensor]:
        """Run the stages that all backbones have; yield their maps."""
        for stage in range(self.first_stage, self.num_stages):
            if before is not None:
                feed = self.compose(number - 1, stage, before, self._size(entry))
                entry = self._add(entry, feed)
            level, entry = self._advance(self.cb_modules[number], stage, entry)
            yield level

    def _connections(self) -> list[nn.Module]:
        return [
            connection for stages in self.cb_linears for stage in stages for connection in stage
        ]

    @abstractmethod
    def _enter(self, network: nn.Module, x: Tensor) -> object:
        """Return the input of the first stage."""

    @abstractmethod
    def _advance(self, network: nn.Module, stage: int, entry: object) -> tuple[Tensor, object]:
        """Run a stage; return its map and the input of the next stage."""

    @abstractmethod
    def _size(self, entry: object) -> tuple[int, int]:
        """Return the height and width of the input of a stage."""

    @abstractmethod
    def _add(self, entry: object, feed: Tensor) -> object:
        """Add a feed, float (N, C, height, width), to the input of a stage."""

    @abstractmethod
    def _zero(self, connection: nn.Module) -> None:
        """Make a connection add nothing."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Accept the keys of the CBNetV2 release, too."""
        own = {f'{prefix}{name}' for name in self.state_dict()}
        for name in [n for n in state_dict if n.startswith(prefix) and n not in own]:
            renamed = name.replace(f'{prefix}cb_linears.', f'{prefix}cb_linears.0.', 1)
            if renamed in own:
                state_dict[renamed] = state_dict.pop(name)
            elif self._is_dropped(name.removeprefix(prefix)):
                del state_dict[name]
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _is_dropped(self, name: str) -> bool:
        """Say whether a tensor belongs to what a later backbone takes from the first."""
        parts = name.split('.')
        if parts[0] != 'cb_modules' or parts[1] not in map(str, range(1, len(self.cb_modules))):
            return False
        return is_within('.'.join(parts[2:]), self.dropped_parts(self.first_stage))

    @classmethod
    @abstractmethod
    def dropped_parts(cls, first_stage: int) -> tuple[str, ...]:
        """Return the names of what only the first backbone has, as they begin in its state."""


def is_within(name: str, parts: Sequence[str]) -> bool:
    """Say whether a tensor belongs to one of some parts of a network, by their dotted names."""
    return any(name == part or name.startswith(f'{part}.') for part in parts)


def drop(network: nn.Module, parts: Sequence[str]) -> None:
    """Put an empty module in the place of parts of a network; what it does not have stays so."""
    modules = dict(network.named_modules())
    for part in parts:
        if part in modules:
            network.set_submodule(part, nn.Identity())


def connect(
    num_transitions: int,
    inputs: Sequence[int],
    outputs: Sequence[int],
    first_stage: int,
    make: Callable[[int, int], nn.Module],
) -> nn.ModuleList:
    """Build the connections of all transitions.

    Args:
        num_transitions: Number of backbones - 1.
        inputs: Channels of the input of every stage.
        outputs: Channels of the map of every stage.
        first_stage: Stages before it get none.
        make: From the channels of a map and of an input to a module.
    """

    def of_stage(stage: int) -> nn.ModuleList:
        sources = outputs[stage:] if stage >= first_stage else ()
        return nn.ModuleList(make(source, inputs[stage]) for source in sources)

    def of_transition() -> nn.ModuleList:
        return nn.ModuleList(of_stage(stage) for stage in range(len(outputs)))

    return nn.ModuleList(of_transition() for _ in range(num_transitions))


def one_per_backbone(with_cp: bool | Sequence[bool], num_backbones: int) -> list[bool]:
    """Spread ``with_cp`` over the backbones.

    Raises:
        UserError: There are fewer than two backbones, or not as many values as backbones.
    """
    if not isinstance(num_backbones, int) or num_backbones < 2:
        raise UserError(
            f'backbone.num_backbones is {num_backbones!r}; a composite backbone has at least 2'
        )
    values = [with_cp] * num_backbones if isinstance(with_cp, bool) else list(with_cp)
    if len(values) != num_backbones:
        raise UserError(
            f'backbone.with_cp has {len(values)} values for {num_backbones} backbones; give one '
            'for each, assistants first, or one bool for all'
        )
    return values


def check_del_stages(value: int, lowest: int, num_stages: int) -> None:
    """Raise ``UserError`` unless ``cb_del_stages`` leaves the later backbones a stage."""
    highest = lowest + num_stages - 1
    if not lowest <= value <= highest:
        raise UserError(
            f'backbone.cb_del_stages is {value}; with {num_stages} stages it can be {lowest} to '
            f'{highest}'
        )
