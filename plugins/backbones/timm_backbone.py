"""Any timm model with feature maps as a backbone of mmdet."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdet.registry import MODELS
from plugins.backbones.freezing import freeze, freeze_through, norm_layers
from plugins.backbones.timm_models import (
    Level,
    any_size_options,
    feature_levels,
    outline,
    unused_parameters,
)
from plugins.backbones.timm_weights import pretrained_weights
from plugins.errors import UserError


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of timm, cut down to the feature maps that a neck reads.

    Levels and stages are counted as in mmdet's backbones: level 0 has stride 4, a stem with stride
    2 is no level. ``out_channels`` holds what ``neck.in_channels`` has to be. Images may have any
    size if the family allows it; transformers are told to.

    Args:
        model_name: timm's name, with or without the tag of the weights: ``regnety_040``,
            ``regnety_040.pycls_in1k``.
        out_indices: Levels to return.
        frozen_stages: Stages kept as they are, in eval mode and without gradient: -1 none, 0 the
            stem, k the stem and the first k stages.
        norm_eval: Keep the batch statistics of all norm layers as they are.
        frozen_norm: In addition, do not train their scales and shifts.
        pretrained: Weights to start from, read by ``init_weights``, thus only where training
            begins: True takes timm's from the network or its cache, a path reads a file
            (``.safetensors``, or a checkpoint without code).
        init_cfg: Must stay None.
        **kwargs: Passed on to ``timm.create_model``, for example ``drop_path_rate``.

    Raises:
        UserError: No such model, no feature maps, no such level or stage.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        frozen_norm: bool = False,
        pretrained: bool | str = False,
        init_cfg: None = None,
        **kwargs,
    ) -> None:
        if init_cfg is not None:
            raise UserError('backbone.init_cfg is not read; set backbone.pretrained to a path')
        super().__init__()
        whole = outline(model_name, **kwargs)
        levels = feature_levels(whole, model_name)
        chosen = _choose(levels, out_indices, model_name)
        self.model_name = model_name
        self.pretrained = pretrained
        self.out_channels = [level.channels for level in chosen]
        self.norm_eval = norm_eval or frozen_norm
        self._options = dict(
            features_only=True,
            out_indices=tuple(level.index for level in chosen),
            **{**any_size_options(whole), **kwargs},
        )
        self._build()
        self._frozen = _freeze_stages(self.model, whole.feature_info, levels, frozen_stages)
        if frozen_norm:
            for module in norm_layers(self.model):
                freeze(module.parameters())
        self.train()

    def _build(self) -> None:
        import timm

        unused = unused_parameters(outline(self.model_name, **self._options))
        self.model = timm.create_model(self.model_name, **self._options)
        freeze(value for name, value in self.model.named_parameters() if name in unused)

    def init_weights(self) -> None:
        """Load the pretrained weights; without them everything stays as timm initialised it.

        Raises:
            UserError: They cannot be found or belong to another model.
        """
        if self.pretrained and not self.is_init:
            weights = pretrained_weights(self.model_name, self.pretrained, self._options)
            self.model.load_state_dict(weights)
        self._is_init = True

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the chosen levels.

        Args:
            x: Float (N, 3, H, W) images, normalised.

        Returns:
            One float (N, ``out_channels[i]``, H / stride, W / stride) map per level.

        Raises:
            UserError: The model takes images of one size only.
        """
        try:
            maps = self.model(x)
        except AssertionError as error:
            size = tuple(x.shape[-2:])
            raise UserError(
                f'backbone.model_name: {self.model_name!r} does not take images of {size} '
                f'({error}); take a model that accepts any size'
            ) from error
        if str(getattr(self.model, 'output_fmt', '')).endswith('NHWC'):
            maps = [values.permute(0, 3, 1, 2).contiguous() for values in maps]
        return tuple(maps)

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Switch between training and evaluation; what is frozen stays in eval mode."""
        super().train(mode)
        for module in self._frozen:
            module.training = False
        for module in norm_layers(self.model) if self.norm_eval else ():
            module.eval()
        return self


def _choose(levels: list[Level], out_indices: tuple[int, ...], model_name: str) -> list[Level]:
    wrong = [index for index in out_indices if not 0 <= index < len(levels)]
    if wrong or not out_indices or list(out_indices) != sorted(set(out_indices)):
        strides = ', '.join(f'{i} (stride {level.stride})' for i, level in enumerate(levels))
        raise UserError(
            f'backbone.out_indices is {tuple(out_indices)}; the levels of {model_name!r} are '
            f'{strides}: name some of them in ascending order'
        )
    return [levels[index] for index in out_indices]


def _freeze_stages(
    model: nn.Module, info: list[dict], levels: list[Level], count: int
) -> list[nn.Module]:
    """Freeze the stem and the first ``count`` stages; return what has to stay in eval mode."""
    if count > len(levels):
        raise UserError(f'backbone.frozen_stages is {count}, but there are {len(levels)} stages')
    if count < 0:
        return []
    try:
        if count:
            return freeze_through(model, levels[count - 1].module)
        if levels[0].index:
            return freeze_through(model, info[levels[0].index - 1]['module'])
        return freeze_through(model, levels[0].module, inclusive=False)
    except KeyError as error:
        raise UserError(
            f'backbone.frozen_stages: this model does not tell where its stage {error} ends; set '
            'frozen_stages to -1'
        ) from error
