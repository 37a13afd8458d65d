"""The neck of the MMDet team's 2020 system: a feature pyramid grid that resamples with care."""

import itertools
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from mmdet.models.necks import FPG
from mmdet.registry import MODELS
from plugins.errors import UserError
from plugins.necks.carafe_downsample_conv import CarafeDownsampleConv

# What every transition is but for the options of its config: pre-activation layers.
LAYER = dict(order=('act', 'conv', 'norm'), inplace=False)
TRANSITIONS = dict(
    same_up_trans=dict(type='carafe_downsample_conv'),
    across_lateral_trans=dict(type='conv', kernel_size=1),
    across_down_trans=dict(
        type='interpolation_conv',
        mode='nearest',
        kernel_size=3,
        conv_cfg=dict(type='DCNv2', deform_groups=1),
    ),
    across_skip_trans=dict(type='conv', kernel_size=1),
)


@MODELS.register_module()
class EnhancedFPG(FPG):
    """Feature pyramid grid (Chen et al. 2020) with better resampling (MMDet team 2020, sec. 2.2).

    Features pass from level to level through a deformable convolution (DCNv2) after up-sampling,
    and through kernels predicted for every pixel (CARAFE) in down-sampling. All else is as in
    mmdet's FPG config: bottom-up paths, pre-activation layers, lateral and skip connections.

    An image may have any size: stock needs levels that halve exactly, that is images padded to
    multiples of 64 pixels, since it doubles coarse maps. Here what an up-sampled map has too much,
    one row or column, is cut off; where nothing is too much, values are those of stock.

    Args:
        in_channels: Channels of the backbone's maps.
        out_channels: Channels of every output.
        num_outs: Number of levels; each beyond the backbone's is the one before it, subsampled.
        stack_times: Number of paths.
        inter_channels: Channels inside, ``out_channels`` if None.
        norm_cfg: Norm after the convolutions of all transitions, or None.
        same_up_trans: From a level to the next coarser one of the same path. Keys that are not
            given are those of ``TRANSITIONS`` and ``LAYER``; of another ``type`` (``conv`` is
            stock's) those of ``LAYER`` alone.
        across_lateral_trans: From a level of one path to the same of the next.
        across_down_trans: From a level of one path to the next finer one of the next path.
        across_skip_trans: From the backbone's level to that of every path.
        skip_inds: For every level the paths that leave it as it is. By default, as in stock's
            config, the coarsest level takes part in all paths and each finer one in one less.
        init_cfg: As in ``BaseModule``, stock's initialisation if None.
        **kwargs: As in ``FPG``: ``start_level``, ``end_level``, ``add_extra_convs``.

    Raises:
        UserError: A transition has an unknown type, or the numbers of levels do not fit.
    """

    transition_types: ClassVar[dict[str, type]] = {
        **FPG.transition_types,
        'carafe_downsample_conv': CarafeDownsampleConv,
    }

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int = 5,
        stack_times: int = 9,
        inter_channels: int | None = None,
        norm_cfg: dict | None = None,
        same_up_trans: dict | None = None,
        across_lateral_trans: dict | None = None,
        across_down_trans: dict | None = None,
        across_skip_trans: dict | None = None,
        skip_inds: Sequence[Sequence[int]] | None = None,
        init_cfg: dict | list | None = None,
        **kwargs,
    ) -> None:
        given = dict(
            same_up_trans=same_up_trans,
            across_lateral_trans=across_lateral_trans,
            across_down_trans=across_down_trans,
            across_skip_trans=across_skip_trans,
        )
        if init_cfg is not None:
            kwargs['init_cfg'] = init_cfg
        _check_counts(len(in_channels), num_outs, stack_times, kwargs)
        super().__init__(
            in_channels=list(in_channels),
            out_channels=out_channels,
            num_outs=num_outs,
            stack_times=stack_times,
            paths=['bu'] * stack_times,
            inter_channels=inter_channels,
            same_down_trans=None,
            across_up_trans=None,
            output_trans=dict(type='last_conv', kernel_size=3, **LAYER),
            norm_cfg=norm_cfg,
            skip_inds=skip_inds or _join_one_by_one(num_outs, stack_times),
            **{key: _transition(key, value, norm_cfg) for key, value in given.items()},
            **kwargs,
        )

    def init_weights(self) -> None:
        """Initialise as stock does, which would spoil layers that predict how to sample.

        Their convolutions would be drawn like all others: offsets of DCN would not start at zero,
        kernels of CARAFE not as means.
        """
        is_first = not self.is_init
        super().init_weights()
        if is_first and not _loads_weights(self.init_cfg):
            start_plainly(self)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            inputs: Maps of the backbone, float (N, ch, h, w), each half as high and wide as the
                one before it, rounded up.

        Returns:
            ``num_outs`` maps, float (N, out_channels, h, w).

        Raises:
            UserError: There are more or fewer maps, or one has another size.
        """
        if len(inputs) != len(self.in_channels):
            raise UserError(
                f'neck.in_channels has {len(self.in_channels)} entries, but the backbone gives '
                f'{len(inputs)} maps; these must be as many'
            )
        _check_halves(inputs[self.start_level : self.backbone_end_level])
        return tuple(super().forward(inputs))

    def fuse(self, fuse_dict: dict[str, Tensor | None]) -> Tensor:
        """Add what arrives at a level; the lateral connection has the level's size."""
        height, width = fuse_dict['lateral'].shape[2:]
        across = fuse_dict['across_down']
        if across is not None:
            fuse_dict = {**fuse_dict, 'across_down': across[:, :, :height, :width]}
        return super().fuse(fuse_dict)


def start_plainly(module: nn.Module) -> None:
    """Make every layer inside that predicts how to sample start without a preference.

    Args:
        module: Deformable convolutions in it get offsets of zero, CARAFE kernels that are means.
    """
    for layer in module.modules():
        if isinstance(layer, CarafeDownsampleConv):
            layer.reset_kernels()
        offsets = getattr(layer, 'conv_offset', None)
        if isinstance(offsets, nn.Conv2d):
            nn.init.zeros_(offsets.weight)
            nn.init.zeros_(offsets.bias)


def _transition(key: str, given: dict | None, norm_cfg: dict | None) -> dict:
    """Return the whole config of a transition.

    Raises:
        UserError: It has an unknown type.
    """
    given = dict(given or {})
    kind = given.get('type', TRANSITIONS[key]['type'])
    if kind not in EnhancedFPG.transition_types:
        known = ', '.join(EnhancedFPG.transition_types)
        raise UserError(f'neck.{key}.type is {kind!r}; it can be {known}')
    common = dict(LAYER, norm_cfg=norm_cfg)
    if kind == TRANSITIONS[key]['type']:
        common.update(TRANSITIONS[key])
    return {**common, **given}


def _check_counts(num_inputs: int, num_outs: int, stack_times: int, options: dict) -> None:
    if stack_times < 1:
        raise UserError(f'neck.stack_times is {stack_times}; there is at least 1 path')
    start, end = options.get('start_level', 0), options.get('end_level', -1)
    takes_coarsest = end in (-1, num_inputs - 1)
    levels = (num_inputs if takes_coarsest else end + 1) - start
    # More outputs are made of the coarsest level, if that is there.
    if num_outs < levels or (num_outs > levels and not takes_coarsest):
        raise UserError(
            f'neck.num_outs is {num_outs}, but start_level and end_level choose {levels} of the '
            f'{num_inputs} levels of the backbone; choose as many levels as outputs, or fewer up '
            'to the coarsest'
        )


def _join_one_by_one(num_outs: int, stack_times: int) -> list[tuple[int, ...]]:
    """Return the paths that each level skips; the last path skips none."""
    return [tuple(range(min(num_outs - 1 - i, stack_times - 1))) for i in range(num_outs)]


def _loads_weights(init_cfg: dict | list | None) -> bool:
    configs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    return any(config['type'] == 'Pretrained' for config in configs)


def _check_halves(maps: Sequence[Tensor]) -> None:
    sizes = [tuple(level.shape[2:]) for level in maps]
    for (height, width), coarser in itertools.pairwise(sizes):
        if coarser != ((height + 1) // 2, (width + 1) // 2):
            raise UserError(
                f'neck EnhancedFPG: maps of the backbone have sizes {sizes}, but each must be half '
                'as high and wide as the one before, rounded up; take other backbone.out_indices, '
                'or pad images with data_preprocessor.pad_size_divisor=32'
            )
