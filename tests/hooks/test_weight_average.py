import copy

import numpy as np
import pytest
import torch
from mmengine.model import (
    BaseAveragedModel,
    ExponentialMovingAverage,
    MomentumAnnealingEMA,
    StochasticWeightAverage,
)
from torch import nn

from mmdet.models.layers import ExpMomentumEMA
from plugins.errors import UserError
from plugins.hooks.weight_average import WeightAverage, momentum_of


def _model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(4, 5))
    model.register_buffer('counts', torch.tensor([2**53 + 1, 7]))
    return model


def _average(model, kind=ExpMomentumEMA, **options):
    return WeightAverage(kind(model, **options), model)


def _move(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))


KINDS = {
    'plain': lambda m, z: ExponentialMovingAverage(m, momentum=float(z['momentum'])),
    'exp': lambda m, z: ExpMomentumEMA(m, momentum=float(z['momentum']), gamma=int(z['gamma_exp'])),
    'anneal': lambda m, z: MomentumAnnealingEMA(
        m, momentum=float(z['momentum']), gamma=int(z['gamma_anneal'])
    ),
    'interval3': lambda m, z: ExponentialMovingAverage(
        m, momentum=float(z['momentum']), interval=int(z['interval'])
    ),
}


@pytest.mark.parametrize('name', ['ema_00', 'ema_02'])
@pytest.mark.parametrize('kind', KINDS)
def test_golden_trajectories(shared, name, kind):
    golden = np.load(shared / 'golden/longtail' / f'{name}.npz')
    model = nn.Module()
    model.weight = nn.Parameter(torch.from_numpy(golden['source'][0]).clone())
    average = WeightAverage(KINDS[kind](model, golden), model)
    for source, expected in zip(golden['source'], golden[kind], strict=True):
        model.weight.data.copy_(torch.from_numpy(source))
        average.update()
        result = average.averaged.module.weight.numpy()
        np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize(('momentum', 'gamma'), [(2e-4, 2000), (0.3, 5)], ids=['default', 'large'])
def test_error_against_float64_is_no_larger_than_stocks(momentum, gamma):
    model = _model()
    ours = _average(model, momentum=momentum, gamma=gamma)
    stock = ExpMomentumEMA(model, momentum=momentum, gamma=gamma)
    exact = None
    for t in range(40):
        _move(model)
        ours.update()
        stock.update_parameters(model)
        weights = [p.detach().double() for p in model.parameters()]
        m = (1 - momentum) * np.exp(-(1 + t) / gamma) + momentum
        exact = (
            weights if t == 0 else [a + m * (s - a) for a, s in zip(exact, weights, strict=True)]
        )
    errors = [
        max(
            float((p - e).abs().max()) for p, e in zip(kept.module.parameters(), exact, strict=True)
        )
        for kept in (ours.averaged, stock)
    ]
    assert errors[0] <= 1.5 * errors[1] and errors[0] < 1e-5
    assert int(ours.averaged.steps) == int(stock.steps) == 40


def test_weights_that_do_not_move_are_a_fixed_point():
    model = _model()
    average = _average(model, momentum=0.37, gamma=3)
    for _ in range(50):
        average.update()
    for one, other in zip(model.parameters(), average.averaged.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_momentum_is_that_of_any_averaged_model():
    model = _model()
    exp = ExpMomentumEMA(model, momentum=0.1, gamma=7)
    exp.steps += 3
    assert momentum_of(exp) == pytest.approx(0.9 * np.exp(-4 / 7) + 0.1, rel=1e-15)
    mean = StochasticWeightAverage(model)
    mean.steps += 4
    assert momentum_of(mean) == pytest.approx(1 / 5, rel=1e-15)


def test_average_that_is_no_weighted_mean_is_refused():
    class Maximum(BaseAveragedModel):
        def avg_func(self, averaged_param, source_param, steps):
            torch.maximum(averaged_param, source_param, out=averaged_param)

    with pytest.raises(UserError, match='ema_type=Maximum computes no weighted mean'):
        _average(_model(), Maximum)


def test_exchange_twice_changes_nothing_and_once_swaps():
    model = _model()
    average = _average(model, momentum=0.5)
    for _ in range(3):
        _move(model)
        average.update()
    raw = copy.deepcopy(model.state_dict())
    mean = copy.deepcopy(average.averaged.module.state_dict())
    average.exchange()
    assert average.is_exchanged
    for name, _ in model.named_parameters():
        assert torch.equal(model.state_dict()[name], mean[name])
        assert torch.equal(average.averaged.module.state_dict()[name], raw[name])
    average.exchange()
    assert not average.is_exchanged
    assert all(torch.equal(model.state_dict()[name], raw[name]) for name in raw)


def test_without_an_update_the_average_is_the_model():
    model = _model()
    average = _average(model)
    _move(model)
    raw = copy.deepcopy(model.state_dict())
    average.exchange()
    assert all(torch.equal(model.state_dict()[name], raw[name]) for name in raw)


def test_buffers_are_copied_exactly_not_averaged():
    model = _model()
    average = _average(model, momentum=0.5)
    for _ in range(3):
        model[1].running_mean += torch.randn(3)
        model.counts += 1
        average.update()
    average.settle()
    kept = average.averaged.module
    assert kept.counts.tolist() == [2**53 + 4, 10]
    assert torch.equal(kept[1].running_mean, model[1].running_mean)


def test_buffers_created_or_resized_later_are_there():
    model = _model()
    average = _average(model)
    model[2].register_buffer('late', torch.arange(3))
    model[2].register_buffer('helper', torch.arange(4), persistent=False)
    model.counts = torch.arange(11)
    average.update()
    average.settle()
    kept = average.averaged.module
    assert kept[2].late.tolist() == [0, 1, 2] and kept.counts.tolist() == list(range(11))
    assert kept.state_dict().keys() == model.state_dict().keys()
    model.counts += 1
    average.settle()
    assert kept.counts.tolist() == list(range(1, 12))


def test_parameters_that_were_replaced_are_found_again():
    model = _model()
    average = _average(model, momentum=0.9)
    average.update()
    model[2].weight = nn.Parameter(torch.full((5, 4), 3.0))
    average.forget_tensors()
    average.update()
    momentum = 0.1 * np.exp(-2 / 2000) + 0.9
    assert average.averaged.module[2].weight.max() > 2.5 * momentum


def test_parameter_that_is_new_is_an_error_that_names_it():
    model = _model()
    average = _average(model)
    model[2].scale = nn.Parameter(torch.ones(1))
    with pytest.raises(UserError, match=r'parameter 2\.scale after WeightsEMAHook'):
        average.update()


def test_tied_and_half_precision_parameters():
    model = nn.ModuleDict(dict(a=nn.Linear(3, 3), b=nn.Linear(3, 3), c=nn.Linear(2, 2).bfloat16()))
    model['b'].weight = model['a'].weight
    average = _average(model, ExponentialMovingAverage, momentum=0.5)
    average.update()
    before = model['a'].weight.detach().clone()
    with torch.no_grad():
        model['a'].weight.add_(1)
        model['c'].weight.fill_(2)
    average.update()
    kept = average.averaged.module
    assert kept['a'].weight is kept['b'].weight
    torch.testing.assert_close(kept['a'].weight, before + 0.5)
    assert kept['c'].weight.dtype == torch.bfloat16


def test_copy_on_another_device_type_is_moved_weight_by_weight(monkeypatch):
    """Without a GPU another device is played by tensors that claim to be elsewhere."""
    from plugins.hooks import weight_average

    copies, sources = [torch.zeros(3), torch.zeros(2)], [torch.ones(3), torch.ones(2)]
    meta = [torch.empty(3, device='meta'), torch.empty(2, device='meta')]
    moved = iter(sources)
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, device: next(moved))
    weight_average.move_towards(copies, meta, 0.25)
    assert copies[0].tolist() == [0.25] * 3 and copies[1].tolist() == [0.25] * 2
