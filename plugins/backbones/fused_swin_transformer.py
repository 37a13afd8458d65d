"""Swin with fused attention and a choice of what is kept for the backward pass."""

from mmdet.models.backbones.swin import SwinBlock, SwinTransformer
from mmdet.registry import MODELS
from plugins.backbones.fused_swin_block import FusedSwinBlock
from plugins.backbones.swin_weights import fit_swin_weights, read_swin_weights
from plugins.errors import UserError

_ATTENTION = ('fused', 'stock')
_ACTIVATIONS = ('kept', 'lean')


@MODELS.register_module()
class FusedSwinTransformer(SwinTransformer):
    """mmdet's ``SwinTransformer``: same options, parameters, names of weights and numbers.

    Args:
        attention: ``'fused'`` takes torch's ``scaled_dot_product_attention`` and moves tokens into
            windows by one copy; ``'stock'`` takes mmdet's attention.
        activations: What a block keeps for the backward pass. ``'kept'``: everything. ``'lean'``:
            what costs a matrix product; norms, activations and attention are computed again.
        with_cp: Keep the input of every block alone and compute the rest again. Goes with
            ``'lean'``, which then lowers the peak while one block is computed again.
        init_cfg: ``dict(type='Pretrained', checkpoint=path)`` or None. With ``convert_weights``
            the file is a released classifier; bias tables are resized to ``window_size``.
        *args, **kwargs: As in mmdet. What ``frozen_stages`` names is frozen from the beginning.

    Raises:
        UserError: An unknown or contradictory option.
    """

    def __init__(
        self, *args, attention: str = 'fused', activations: str = 'kept', **kwargs
    ) -> None:
        _check_options(attention, activations, kwargs)
        super().__init__(*args, **kwargs)
        for module in list(self.modules()):
            if isinstance(module, SwinBlock):
                FusedSwinBlock.adopt(module, fused=attention == 'fused', lean=activations == 'lean')
        # Stock freezes when training starts; distributed wrappers look at parameters before that.
        self.train()

    def train(self, mode: bool = True) -> 'FusedSwinTransformer':
        """Switch between training and evaluation; what is frozen stays in eval mode."""
        super().train(mode)
        return self

    def init_weights(self) -> None:
        """Draw weights as mmdet does, or load the file that ``init_cfg`` names.

        Raises:
            UserError: The file is missing, unsafe or made for another backbone.
        """
        if self.init_cfg is None:
            super().init_weights()
            return
        source = self.init_cfg['checkpoint']
        weights = read_swin_weights(source, convert=self.convert_weights)
        self.load_state_dict(fit_swin_weights(weights, self.state_dict(), source), strict=False)


def _check_options(attention: str, activations: str, options: dict) -> None:
    if attention not in _ATTENTION:
        raise UserError(f'backbone.attention is {attention!r}; set one of {_ATTENTION}')
    if activations not in _ACTIVATIONS:
        raise UserError(f'backbone.activations is {activations!r}; set one of {_ACTIVATIONS}')
    if activations == 'lean' and attention == 'stock':
        raise UserError(
            "backbone.activations='lean' cannot divide mmdet's attention into steps; set "
            "backbone.attention='fused'"
        )
    if options.get('pretrained'):
        raise UserError(
            'backbone.pretrained is not read by mmdet; set backbone.init_cfg=dict('
            "type='Pretrained', checkpoint=...)"
        )
    init_cfg = options.get('init_cfg')
    if init_cfg is not None and (not isinstance(init_cfg, dict) or not init_cfg.get('checkpoint')):
        raise UserError(
            f"backbone.init_cfg is {init_cfg}; set dict(type='Pretrained', checkpoint=...) or None"
        )
