"""Composite backbone of networks of the ResNet family."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import constant_init
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmdet.models.backbones import ResNet
from mmdet.registry import MODELS
from plugins.backbones.composite import (
    CompositeBackbone,
    check_del_stages,
    connect,
    drop,
    one_per_backbone,
)
from plugins.errors import UserError

FAMILIES = ('ResNet', 'ResNetV1d', 'ResNeXt', 'ResNeSt', 'Res2Net')


@MODELS.register_module()
class CBResNet(CompositeBackbone):
    """K ResNets in a row (CBNetV2, Liang et al. 2022), see ``CompositeBackbone``.

    Stage i of a later backbone adds to its own input the maps i and coarser of the backbone before
    it, each through a 1x1 convolution and a batch norm. With ``cb_zero_init`` these norms start at
    zero, so the lead starts as the plain network. They use their running statistics, which never
    move.

    Args:
        family: mmdet's class of the single backbones, one of ``FAMILIES``.
        num_backbones: K, at least 2.
        cb_del_stages: d: the later backbones have no stem and none of the first d stages.
        cb_zero_init: Start with batch norms of zeros.
        with_cp: Recompute activations in the backward pass, to save memory: in all backbones, or
            one bool for each, assistants first.
        out_indices: Stages whose maps are returned.
        norm_cfg: Norm of the backbones and of the connections; the connections' always train.
        init_cfg: Weights of a single network, loaded into every backbone.
        **kwargs: As in the class of the single backbones: ``depth``, ``frozen_stages``, ``dcn``,
            ``norm_eval`` and so on.

    Raises:
        UserError: One of the options above has no meaning.
    """

    def __init__(
        self,
        *,
        family: str = 'ResNet',
        num_backbones: int = 2,
        cb_del_stages: int = 1,
        cb_zero_init: bool = True,
        with_cp: bool | Sequence[bool] = False,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        norm_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        if family not in FAMILIES:
            raise UserError(f'backbone.family is {family!r}; it can be {", ".join(FAMILIES)}')
        norm_cfg = norm_cfg or dict(type='BN', requires_grad=True)
        common = dict(
            kwargs,
            type=family,
            norm_cfg=norm_cfg,
            out_indices=out_indices,
            init_cfg=init_cfg,
        )
        checkpointed = one_per_backbone(with_cp, num_backbones)
        networks = [MODELS.build(dict(common, with_cp=flag)) for flag in checkpointed]
        check_del_stages(cb_del_stages, 0, networks[0].num_stages)
        for network in networks[1:]:
            drop(network, self.dropped_parts(cb_del_stages))

        def connection(source: int, target: int) -> nn.Module:
            norm = build_norm_layer(dict(norm_cfg, requires_grad=True), target)[1]
            return nn.Sequential(nn.Conv2d(source, target, 1, bias=False), norm)

        outputs = _widths(networks[0])
        inputs = [networks[0].stem_channels, *outputs[:-1]]
        super().__init__(
            networks,
            connect(num_backbones - 1, inputs, outputs, cb_del_stages, connection),
            first_stage=cb_del_stages,
            out_indices=out_indices,
            cb_zero_init=cb_zero_init,
        )

    @classmethod
    def dropped_parts(cls, first_stage: int) -> tuple[str, ...]:
        """Return the names of what only the first backbone has, as they begin in its state."""
        stages = (f'layer{i + 1}' for i in range(first_stage))
        return ('stem', 'conv1', 'bn1', 'gn1', *stages)

    def train(self, mode: bool = True) -> 'CBResNet':
        """Switch between training and evaluation; the connections' statistics never move."""
        super().train(mode)
        for module in self.cb_linears.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _enter(self, network: ResNet, x: Tensor) -> Tensor:
        x = network.stem(x) if network.deep_stem else network.relu(network.norm1(network.conv1(x)))
        return network.maxpool(x)

    def _advance(self, network: ResNet, stage: int, entry: Tensor) -> tuple[Tensor, Tensor]:
        x = getattr(network, network.res_layers[stage])(entry)
        return x, x

    def _size(self, entry: Tensor) -> tuple[int, int]:
        return tuple(entry.shape[-2:])

    def _add(self, entry: Tensor, feed: Tensor) -> Tensor:
        return entry + feed

    def _zero(self, connection: nn.Module) -> None:
        constant_init(connection[-1], 0)


def _widths(network: ResNet) -> list[int]:
    stages = range(network.num_stages)
    return [network.base_channels * 2**i * network.block.expansion for i in stages]
