"""Validate, test and save a moving average of the weights instead of the last ones."""

import logging

import torch
from mmengine.hooks import EMAHook
from mmengine.logging import print_log
from mmengine.model import BaseAveragedModel, is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor

from mmdet.registry import HOOKS, MODELS
from plugins.checkpoints import CheckpointError
from plugins.errors import UserError
from plugins.hooks.training_loop import has_training, unit_of
from plugins.hooks.weight_average import WeightAverage


@HOOKS.register_module()
class WeightsEMAHook(EMAHook):
    """``EMAHook`` that counts optimiser steps, copies exact buffers and resumes exactly.

    Validation and test of the run, and ``state_dict`` in its checkpoints, have the average; the
    weights that train are under ``ema_state_dict``, which is stock's layout. So every checkpoint,
    the best one included, gives the AP of its validation when it is loaded plainly.

    Unlike stock

    * it averages once per step of the optimiser: not after an iteration that only accumulates
      gradients, and not after one that mixed precision skipped;
    * buffers are the model's when they are needed, instead of being copied at every iteration; they
      may be created or resized meanwhile;
    * a resumed run must find the average of every parameter in its checkpoint, and goes on bit for
      bit. A run that starts from weights (``load_from``), or is resumed from a checkpoint without
      an average, starts the average from them;
    * a run that only tests makes no copy: its checkpoint has the average as its weights;
    * a validation that was interrupted leaves the average in the model only until the next train,
      validation or save.

    Priorities: this hook, NORMAL, gives the weights back after a validation before early stopping
    and the AP curve (LOW) note its outcome and the checkpoint hook (VERY_LOW) saves the best.

    Args:
        ema_type: Averaged model of mmdet or mmengine; ``'ExpMomentumEMA'`` with its momentum
            ``m = (1 - momentum) exp(-(1 + t) / gamma) + momentum`` after ``t`` updates.
        begin_iter: Average from this iteration on; until then the average is the model.
        begin_epoch: Average from this epoch on, instead of ``begin_iter``.
        **kwargs: Of the averaged model: ``momentum``, in (0, 1), by default 2e-4; ``gamma``, by
            default 2000; ``interval`` in updates; ``device``, ``'cpu'`` to spare a GPU the copy at
            the price of moving the weights at every step.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        ema_type: str = 'ExpMomentumEMA',
        *,
        begin_iter: int = 0,
        begin_epoch: int = 0,
        **kwargs,
    ) -> None:
        _check_options(ema_type, begin_iter, begin_epoch, kwargs)
        super().__init__(
            ema_type, strict_load=True, begin_iter=begin_iter, begin_epoch=begin_epoch, **kwargs
        )
        self._average: WeightAverage | None = None
        self._has_stepped = False
        self._handles: list = []

    def before_run(self, runner: Runner) -> None:
        """Copy the model, if this is a training run and the first call."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if has_training(runner) and (self._average is None or self._average.source is not model):
            self.src_model = model
            self.ema_model = MODELS.build(self.ema_cfg, default_args=dict(model=model))
            self._average = WeightAverage(self.ema_model, model)
        self._put_back()

    def before_train(self, runner: Runner) -> None:
        """Begin to count optimiser steps.

        Raises:
            UserError: The average would begin after the end.
        """
        loop = runner.train_loop
        if self.begin_epoch and unit_of(loop) == 'iter':
            raise UserError(
                'WeightsEMAHook: begin_epoch counts epochs, of which a run by iterations has one; '
                'use begin_iter'
            )
        for key, last in (('begin_epoch', loop.max_epochs), ('begin_iter', loop.max_iters)):
            begin = getattr(self, key)
            if begin > last:
                raise UserError(f'WeightsEMAHook: {key} is {begin}, but the run ends with {last}')
        self._put_back()
        self._stop_counting()
        for optimizer in _optimizers(runner.optim_wrapper):
            self._handles.append(optimizer.register_step_post_hook(self._note_step))

    def before_train_epoch(self, runner: Runner) -> None:
        """Look for the parameters anew, once per epoch."""
        self._average.forget_tensors()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Update the average if the optimiser has made a step."""
        if self._has_stepped and self._ema_started(runner):
            self._average.update()
        self._has_stepped = False

    def after_train(self, runner: Runner) -> None:
        """Leave the optimiser alone."""
        self._stop_counting()

    def before_val_epoch(self, runner: Runner) -> None:
        """Put the average into the model."""
        self._put_average()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the weights that train back."""
        self._put_back()

    def before_test_epoch(self, runner: Runner) -> None:
        """Put the average into the model."""
        self._put_average()

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Put the weights that train back."""
        self._put_back()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the average as ``state_dict`` and the weights that train beside it."""
        if self._average is None:
            return
        self._average.settle()
        beside = weights_to_cpu(self.ema_model.state_dict())
        checkpoint['ema_state_dict'] = beside
        # Within a validation both have changed places already.
        if not self._average.is_exchanged:
            _exchange_entries(checkpoint['state_dict'], beside)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Resume the average, and hand the weights that train to the runner.

        Raises:
            CheckpointError: The average of a parameter is missing or has another shape.
        """
        if self._average is None:
            return
        self._put_back()
        source = getattr(runner, '_load_from', None) or 'the checkpoint'
        beside = checkpoint.pop('ema_state_dict', None) if runner._resume else None
        if beside is None:
            self.ema_model.steps.zero_()
            if runner._resume:
                print_log(
                    f'{source} has no average of the weights: it starts anew from the weights',
                    logger='current',
                    level=logging.WARNING,
                )
            return
        averages = self._require_averages(beside, checkpoint['state_dict'], source)
        _exchange_entries(checkpoint['state_dict'], beside)
        self._average.resume(averages, int(beside['steps']))

    def _require_averages(self, beside: dict, weights: dict, source: str) -> dict[str, Tensor]:
        """Return the averages by the names of the parameters."""
        parameters = dict(self._average.source.named_parameters())
        for name, parameter in parameters.items():
            kept = (beside.get(f'module.{name}'), weights.get(name))
            if any(getattr(tensor, 'shape', None) != parameter.shape for tensor in kept):
                raise CheckpointError(
                    f'{source} does not hold {name} and its average in the shape '
                    f'{tuple(parameter.shape)}; resume with the config that it was trained with, '
                    'or start from it with load_from'
                )
        if 'steps' not in beside:
            raise CheckpointError(f'{source} does not say how often its weights were averaged')
        return {name: weights[name] for name in parameters}

    def _put_average(self) -> None:
        if self._average is not None and not self._average.is_exchanged:
            self._average.exchange()

    def _put_back(self) -> None:
        if self._average is not None and self._average.is_exchanged:
            self._average.exchange()

    def _note_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        # Fused optimisers are called for a step that they skip.
        found_inf = getattr(optimizer, 'found_inf', None)
        self._has_stepped = self._has_stepped or not (found_inf is not None and bool(found_inf))

    def _stop_counting(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._has_stepped = False


def _optimizers(wrapper: OptimWrapper | OptimWrapperDict) -> list[torch.optim.Optimizer]:
    wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
    return [each.optimizer for each in wrappers]


def _exchange_entries(weights: dict, beside: dict) -> None:
    """Exchange a model's state with that of its averaged model, whose names have a prefix."""
    for name in beside:
        plain = name.removeprefix('module.')
        if plain != name and plain in weights:
            weights[plain], beside[name] = beside[name], weights[plain]


def _check_options(ema_type: str, begin_iter: int, begin_epoch: int, options: dict) -> None:
    kind = MODELS.get(ema_type)
    if kind is None or not issubclass(kind, BaseAveragedModel):
        raise UserError(
            f'WeightsEMAHook: ema_type={ema_type!r} is no averaged model; ExpMomentumEMA, '
            'ExponentialMovingAverage and MomentumAnnealingEMA are'
        )
    if begin_iter < 0 or begin_epoch < 0 or (begin_iter and begin_epoch):
        raise UserError(
            'WeightsEMAHook: begin_iter and begin_epoch must not be negative, and only one can be '
            f'set; they are {begin_iter} and {begin_epoch}'
        )
    if not 0 < options.get('momentum', 0.5) < 1:
        raise UserError(
            f'WeightsEMAHook: momentum must be between 0 and 1, not {options["momentum"]}; it is '
            "the new weights' share, such as 2e-4"
        )
    if options.get('interval', 1) < 1:
        raise UserError(
            f'WeightsEMAHook: interval must be 1 or more, not {options["interval"]}; it counts '
            'updates'
        )
    if not options.get('gamma', 1) > 0:
        raise UserError(f'WeightsEMAHook: gamma must be above 0, not {options["gamma"]}')
    if options.get('update_buffers'):
        raise UserError(
            'WeightsEMAHook: update_buffers=True is not possible: counts are no averages; leave it '
            'out'
        )
