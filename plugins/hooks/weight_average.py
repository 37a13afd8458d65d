"""A moving average of a model's weights, kept beside it and exchanged with it."""

import torch
from mmengine.model import BaseAveragedModel
from torch import Tensor, nn

from plugins.errors import UserError


class WeightAverage:
    """The averaged copy of a model: parameters follow the model's, buffers are the model's.

    The copy, the number of updates and the formula are those of mmengine's averaged models, the
    arithmetic is not: stock builds the lists of tensors anew at each update and needs two calls per
    tensor. Here each kind of tensor is one call on lists that are made once.

    With update ``t``, counted from zero, the average ``a`` of the weights ``s`` becomes

    * ``s`` for ``t == 0``,
    * ``a + m(t) (s - a)`` if ``t`` is a multiple of the averaged model's ``interval``. The average
      of weights that do not move does not either, not by one bit.

    Args:
        averaged: mmengine's averaged model, made of ``source`` and thus a copy of it. It may be on
            another device.
        source: The model that trains.

    Attributes:
        averaged: As given; the number of updates is ``averaged.steps``, int64 (), on the CPU.
        is_exchanged: The model has the averaged parameters now, and the copy those of the model.

    Raises:
        UserError: Updates of ``averaged`` are no weighted mean.
    """

    def __init__(self, averaged: BaseAveragedModel, source: nn.Module) -> None:
        self.averaged = averaged
        self.source = source
        self.is_exchanged = False
        # A GPU would have to be waited for at every look at it.
        averaged.steps = averaged.steps.cpu()
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] | None = None
        momentum_of(averaged)

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of the model into the average."""
        steps = int(self.averaged.steps)
        if steps == 0:
            self._copy_parameters()
        elif steps % self.averaged.interval == 0:
            momentum = momentum_of(self.averaged)
            for copies, sources in self._paired_parameters():
                move_towards(copies, sources, momentum)
        self.averaged.steps += 1

    @torch.no_grad()
    def settle(self) -> None:
        """Bring the copy up to date, as it is before it is used or saved.

        The buffers become those of the model, also where it has made or resized one since. Without
        an update so far the parameters do as well.
        """
        if int(self.averaged.steps) == 0 and not self.is_exchanged:
            self._copy_parameters()
        _copy_buffers(self.source, self.averaged.module)

    @torch.no_grad()
    def exchange(self) -> None:
        """Exchange the parameters of model and copy, holding one tensor more at a time."""
        self.settle()
        for copies, sources in self._paired_parameters():
            for copy, source in zip(copies, sources, strict=True):
                _swap(copy, source)
        self.is_exchanged = not self.is_exchanged

    @torch.no_grad()
    def resume(self, averages: dict[str, Tensor], steps: int) -> None:
        """Go on from an average that was saved.

        Args:
            averages: Of every parameter, by its name in the model.
            steps: Updates that led to it.
        """
        for name, parameter in self.averaged.module.named_parameters():
            parameter.copy_(averages[name])
        self.averaged.steps.fill_(steps)

    def forget_tensors(self) -> None:
        """Look for the parameters anew at the next use, as some may have been replaced."""
        self._pairs = None

    def _copy_parameters(self) -> None:
        for copies, sources in self._paired_parameters():
            for copy, source in zip(copies, sources, strict=True):
                copy.copy_(source)

    def _paired_parameters(self) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Parameters of the copy and the model, a pair of lists per device and dtype."""
        if self._pairs is None:
            copies = dict(self.averaged.module.named_parameters())
            sources = dict(self.source.named_parameters())
            changed = copies.keys() ^ sources.keys()
            if changed:
                raise UserError(
                    f'the model got or lost the parameter {min(changed)} after WeightsEMAHook had '
                    'made its copy; parameters must be there when the model is built'
                )
            kinds: dict[tuple, tuple[list[Tensor], list[Tensor]]] = {}
            for name, copy in copies.items():
                source = sources[name]
                kind = kinds.setdefault((copy.dtype, copy.device, source.device), ([], []))
                kind[0].append(copy)
                kind[1].append(source)
            self._pairs = list(kinds.values())
        return self._pairs


def momentum_of(averaged: BaseAveragedModel) -> float:
    """Return the weight that the model gets in the next update of an averaged model.

    It is found by averaging known numbers, in float64: so every class of averaged models serves,
    whatever its formula.

    Raises:
        UserError: The update is no weighted mean ``a + m (s - a)`` of average and weights.
    """
    average = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    source = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    result = average.clone()
    averaged.avg_func(result, source, averaged.steps)
    momentum = float(result[0])
    if not torch.allclose(result, average + momentum * (source - average)):
        raise UserError(
            f'ema_type={type(averaged).__name__} computes no weighted mean, which WeightsEMAHook '
            'needs; use ExpMomentumEMA, ExponentialMovingAverage or MomentumAnnealingEMA'
        )
    return momentum


def move_towards(copies: list[Tensor], sources: list[Tensor], momentum: float) -> None:
    """Compute ``copy += momentum (source - copy)`` in place.

    Args:
        copies: Of one dtype, on one device.
        sources: Of the same shapes, all on one device, which may be another.
        momentum: In [0, 1].
    """
    if not copies[0].is_floating_point():
        for copy, source in zip(copies, sources, strict=True):
            copy.copy_(source)
    elif copies[0].device == sources[0].device:
        torch._foreach_lerp_(copies, sources, momentum)
    else:
        # One at a time: a second copy of the model need not fit there.
        for copy, source in zip(copies, sources, strict=True):
            copy.lerp_(source.to(copy.device), momentum)


def _swap(one: Tensor, other: Tensor) -> None:
    held = one.clone()
    one.copy_(other)
    other.copy_(held)


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the values of all buffers of ``source``, which it is a copy of."""
    present = dict(target.named_buffers(remove_duplicate=False))
    device = next((tensor.device for tensor in target.parameters()), None)
    saved = None
    for name, buffer in source.named_buffers(remove_duplicate=False):
        old = present.get(name)
        if old is not None and (old.shape, old.dtype) == (buffer.shape, buffer.dtype):
            old.copy_(buffer)
            continue
        saved = source.state_dict().keys() if saved is None else saved
        module, _, key = name.rpartition('.')
        copy = buffer.detach().to(device or buffer.device, copy=True)
        target.get_submodule(module).register_buffer(key, copy, persistent=name in saved)
