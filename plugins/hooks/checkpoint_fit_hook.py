"""A checkpoint of another architecture is an error, not a page of warnings."""

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdet.registry import HOOKS
from plugins.checkpoints import CheckpointError


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Compare a checkpoint with the model before its weights are loaded.

    mmengine loads what fits and logs the rest; a test with the wrong checkpoint then reports the
    AP of a half-random model.

    Args:
        whole: Every tensor of the model must be in the checkpoint, in its shape (testing and
            resuming). Otherwise one that fits is enough (fine-tuning).
    """

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise ``CheckpointError`` if the weights are not for this model."""
        source = getattr(runner, '_load_from', None) or 'the checkpoint'
        weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
        # mmengine takes this prefix of saved wrappers off as well.
        weights = {name.removeprefix('module.'): value for name, value in weights.items()}
        wanted = _inner_model(runner.model).state_dict()
        # Batch norm's step counter is absent from weights converted from other frameworks; mmengine
        # does not miss it either.
        missing = [n for n in wanted if n not in weights and not n.endswith('num_batches_tracked')]
        reshaped = [name for name in wanted if name in weights and not _fits(name, wanted, weights)]
        num_fitting = sum(name in weights for name in wanted) - len(reshaped)
        if not (missing or reshaped) or (num_fitting and not self.whole):
            return
        raise CheckpointError(
            f'{source} was made for another architecture: {num_fitting} of the {len(wanted)} '
            f'tensors of this model fit{_examples(missing, reshaped, wanted, weights)}; '
            'give the config it was trained with'
        )


def _inner_model(model: nn.Module) -> nn.Module:
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _fits(name: str, wanted: dict[str, Tensor], weights: dict[str, Tensor]) -> bool:
    return tuple(wanted[name].shape) == tuple(getattr(weights[name], 'shape', (None,)))


def _examples(missing: list[str], reshaped: list[str], wanted: dict, weights: dict) -> str:
    text = ''
    if missing:
        text += f', {len(missing)} are missing (first {missing[0]})'
    if reshaped:
        name = reshaped[0]
        there = tuple(getattr(weights[name], 'shape', ()))
        text += (
            f', {len(reshaped)} have another shape (first {name}: {there} in the file, '
            f'{tuple(wanted[name].shape)} here)'
        )
    return text
