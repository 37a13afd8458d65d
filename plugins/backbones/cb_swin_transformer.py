"""Composite backbone of Swin transformers."""

from collections.abc import Sequence

from mmengine.model import constant_init
from torch import Tensor, nn

from mmdet.registry import MODELS
from plugins.backbones.composite import (
    CompositeBackbone,
    check_del_stages,
    connect,
    drop,
    one_per_backbone,
)
from plugins.backbones.fused_swin_transformer import FusedSwinTransformer

# Tokens (N, H * W, C) of a stage, and (H, W).
Entry = tuple[Tensor, tuple[int, int]]


@MODELS.register_module()
class CBSwinTransformer(CompositeBackbone):
    """K Swin transformers in a row (CBNetV2, Liang et al. 2022), see ``CompositeBackbone``.

    The patches are embedded once. Stage i of a later backbone adds to its own tokens the normalised
    map i of the backbone before it, and the coarser maps through 1x1 convolutions. So with
    ``cb_zero_init`` the lead is not a plain Swin: it still gets those maps.

    Args:
        num_backbones: K, at least 2.
        cb_del_stages: 1: the later backbones have no patch embedding; d > 1: neither the first
            d - 1 stages nor their output norms.
        cb_zero_init: Start with convolutions of zeros.
        with_cp: Recompute activations in the backward pass, to save memory: in all backbones, or
            one bool for each, assistants first.
        depths: Blocks of every stage, as in ``SwinTransformer``.
        out_indices: Stages whose maps are returned.
        init_cfg: Weights of a single Swin, loaded into every backbone.
        **kwargs: As in ``FusedSwinTransformer``.

    Raises:
        UserError: One of the options above has no meaning.
    """

    def __init__(
        self,
        *,
        num_backbones: int = 2,
        cb_del_stages: int = 1,
        cb_zero_init: bool = True,
        with_cp: bool | Sequence[bool] = False,
        depths: Sequence[int] = (2, 2, 6, 2),
        out_indices: Sequence[int] = (0, 1, 2, 3),
        init_cfg: dict | None = None,
        **kwargs,
    ) -> None:
        checkpointed = one_per_backbone(with_cp, num_backbones)
        check_del_stages(cb_del_stages, 1, len(depths))
        first_stage = cb_del_stages - 1
        common = dict(
            kwargs,
            depths=depths,
            out_indices=range(len(depths)),
            init_cfg=init_cfg,
        )
        networks = [FusedSwinTransformer(with_cp=checkpointed[0], **common)]
        common['use_abs_pos_embed'] = False  # the patches of the first have it
        networks += [FusedSwinTransformer(with_cp=flag, **common) for flag in checkpointed[1:]]
        for network in networks[1:]:
            drop(network, self.dropped_parts(first_stage))
        for i in range(len(depths)):
            _drop_unused_norms(networks, i, first_stage, i in out_indices)
        widths = networks[0].num_features
        connections = connect(num_backbones - 1, widths, widths, first_stage, _connection)
        super().__init__(
            networks,
            connections,
            first_stage=first_stage,
            out_indices=out_indices,
            cb_zero_init=cb_zero_init,
        )

    @classmethod
    def dropped_parts(cls, first_stage: int) -> tuple[str, ...]:
        """Return the names of what only the first backbone has, as they begin in its state."""
        stages = [(f'stages.{i}', f'norm{i}') for i in range(first_stage)]
        return ('patch_embed', 'absolute_pos_embed', *(name for pair in stages for name in pair))

    def _enter(self, network: FusedSwinTransformer, x: Tensor) -> Entry:
        tokens, size = network.patch_embed(x)
        if network.use_abs_pos_embed:
            tokens = tokens + network.absolute_pos_embed
        return network.drop_after_pos(tokens), size

    def _advance(
        self, network: FusedSwinTransformer, stage: int, entry: Entry
    ) -> tuple[Tensor, Entry]:
        *following, tokens, (height, width) = network.stages[stage](*entry)
        tokens = getattr(network, f'norm{stage}')(tokens)
        level = tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2).contiguous()
        return level, tuple(following)

    def _size(self, entry: Entry) -> tuple[int, int]:
        return tuple(entry[1])

    def _add(self, entry: Entry, feed: Tensor) -> Entry:
        tokens, size = entry
        return tokens + feed.flatten(2).transpose(1, 2), size

    def _zero(self, connection: nn.Module) -> None:
        if isinstance(connection, nn.Conv2d):
            constant_init(connection, 0)


def _connection(source: int, target: int) -> nn.Module:
    # The map of the stage itself comes as it is.
    return nn.Identity() if source == target else nn.Conv2d(source, target, 1)


def _drop_unused_norms(
    networks: Sequence[nn.Module], stage: int, first_stage: int, is_returned: bool
) -> None:
    """Drop the output norms of a stage that nothing reads: they would get no gradient."""
    unread = [] if is_returned else networks if stage < first_stage else networks[-1:]
    for network in unread:
        drop(network, [f'norm{stage}'])
