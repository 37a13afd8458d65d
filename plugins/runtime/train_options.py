"""What the flags of ``tools/train.py`` change in a config."""

import torch
from mmengine.config import Config

from plugins.errors import UserError


def use_mixed_precision(cfg: Config) -> None:
    """Train with float16 where it is safe (``--amp``).

    Raises:
        UserError: This machine has no GPU.
    """
    if not torch.cuda.is_available():
        raise UserError('--amp needs a GPU; leave it out to train in float32')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.loss_scale = 'dynamic'


def scale_learning_rate(cfg: Config) -> None:
    """Scale the learning rate with the total batch size (``--auto-scale-lr``).

    Raises:
        UserError: The config does not say for which batch size its rate was chosen.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise UserError(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config: the '
            'total batch size its learning rate is for'
        )
    cfg.auto_scale_lr.enable = True
